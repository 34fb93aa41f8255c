"""The commands against a server that asks for tokens and uses TLS, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_helpers import serving_in_process, serving_in_thread
from secret_files import TOKEN, Pki, write_tokens

from semantic_palette.cli.main import run as run_command
from semantic_palette_services.access.tokens import TokenTable, parse_tokens

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def secured(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Pki, Path]]:
    """Address, authority and a file with a token of a server with mutual TLS and tokens."""
    folder = tmp_path_factory.mktemp("secured")
    pki = Pki.create(folder / "pki")
    tokens = write_tokens(folder / "tokens.json")
    settings = pki.server_settings() | {"tls_client_ca": pki.ca, "auth_tokens": tokens}
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    with serving_in_thread(tiny_root, **settings) as (server, _):
        yield server.address, pki, token


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_here(*arguments: object) -> tuple[int, str, str]:
        code = run_command([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run_here


def test_commands_take_token_and_certificates(secured: tuple[str, Pki, Path], run: Run, tmp_path: Path) -> None:
    address, pki, token = secured
    certificate, key = pki.issue("alice", "alice@example.org")
    options = ["--address", address, "--token-file", token, "--ca", pki.ca, "--certificate", certificate, "--key", key]
    code, out, _ = run("status", *options)
    assert code == 0
    assert "tiny/1" in out
    code, _, err = run("generate", "--count", 3, "--out", tmp_path / "pairs", *options)
    assert code == 0, err
    assert len((tmp_path / "pairs" / "pairs.jsonl").read_text().splitlines()) == 3


def test_commands_read_them_from_the_environment(
    secured: tuple[str, Pki, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, pki, token = secured
    certificate, key = pki.issue("bob", "bob@example.org")
    for name, value in (("TOKEN_FILE", token), ("CA", pki.ca), ("CERTIFICATE", certificate), ("KEY", key)):
        monkeypatch.setenv(f"SEMANTIC_PALETTE_CLIENT_{name}", str(value))
    code, out, _ = run("status", "--address", address)
    assert code == 0
    assert "tiny/1" in out


def test_the_health_port_tells_the_status_without_certificate_and_token(
    tiny_root: Path, tmp_path: Path, run: Run
) -> None:
    settings = Pki.create(tmp_path / "pki").server_settings()
    tokens = write_tokens(tmp_path / "tokens.json")
    with serving_in_thread(tiny_root, services=("palette",), auth_tokens=tokens, **settings) as (server, _):
        code, out, _ = run("status", "--address", f"127.0.0.1:{server.health_port}")
    assert code == 0
    assert "SERVING" in out


def test_status_without_a_token_says_what_it_needs(secured: tuple[str, Pki, Path], run: Run) -> None:
    address, pki, _ = secured
    certificate, key = pki.issue("carol", "carol@example.org")
    options = ["--address", address, "--ca", pki.ca, "--certificate", certificate, "--key", key]
    code, out, _ = run("status", *options)
    assert code == 0
    assert "authorization: Bearer" in out
    code, out, _ = run("status", *options, "--json")
    report = json.loads(out)
    assert report["bundle"] == {}
    assert "authorization: Bearer" in report["problem"]


def test_a_token_is_not_sent_in_plaintext_to_another_machine(run: Run, secured: tuple[str, Pki, Path]) -> None:
    _, _, token = secured
    code, out, err = run("status", "--address", "palette.example.org:50051", "--token-file", token)
    assert code == 2
    assert "sent over TLS" in err
    assert TOKEN not in out + err


@pytest.mark.parametrize("options", [("--certificate", "a.pem"), ("--key", "a.key"), ("--token-file", "nowhere")])
def test_options_that_do_not_go_together_are_named(run: Run, options: tuple[str, str]) -> None:
    code, _, err = run("status", *options)
    assert code == 2
    assert "--" in err


def test_a_new_token_is_printed_once_and_its_entry_apart(run: Run, tmp_path: Path) -> None:
    code, out, err = run("tokens", "new", "alice")
    assert code == 0
    token = out.strip()
    assert token not in err
    table = TokenTable(parse_tokens(json.dumps([json.loads(err)]).encode()))
    assert table.caller_of(token).name == "alice"
    _, _, err = run("tokens", "new", "operator", "--scope", "admin")
    assert json.loads(err)["scopes"] == ["admin"]
    code, _, err = run("tokens", "new", "operator", "--scope", "root")
    assert code == 2
    assert "generate" in err
    code, out, err = run("tokens", "new", "no spaces")
    assert (code, out) == (2, "")
    assert "name" in err


@pytest.mark.parametrize(("options", "open_to_anyone"), [((), True), (("--auth-tokens", "tokens.json"), False)])
def test_a_server_that_is_open_to_a_network_says_so(
    tiny_root: Path, tmp_path: Path, options: tuple[str, ...], open_to_anyone: bool
) -> None:
    write_tokens(tmp_path / "tokens.json")
    given = [str(tmp_path / option) if option.endswith(".json") else option for option in options]
    environment = {"SEMANTIC_PALETTE_ALLOW_PLAINTEXT_TOKENS": "true", "SEMANTIC_PALETTE_AUTH_TOKEN": "misspelt"}
    with serving_in_process(
        tiny_root, "--services", "palette", "--host", "0.0.0.0", *given, environment=environment
    ) as server:
        warned = any("anyone who reaches it may call" in line for line in server.log)
        misspelt = [line for line in server.log if "SEMANTIC_PALETTE_AUTH_TOKEN is set" in line]
    assert warned == open_to_anyone
    assert misspelt
