"""``semantic-palette models ... --address``: the bundles of a running server, as a user changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grpc_helpers import serving_in_thread
from secret_files import TOKEN, write_tokens
from tiny_bundle import corrupt, write_tiny_bundle

from semantic_palette.cli.main import run as run_command
from semantic_palette.client import Client, Credentials
from semantic_palette_services.runtime.store import ModelStore
from semantic_palette_services.server.lifecycle import RunningServer

Run = Callable[..., str]


@pytest.fixture
def server(store_root: Path, tokens: Path) -> Iterator[RunningServer]:
    """A server of version 1 of a bundle that has three versions, the third of them corrupt."""
    for version in ("1", "2", "3"):
        write_tiny_bundle(store_root, version=version, seed=int(version), activate=version == "1")
    corrupt(store_root / "tiny" / "3" / "image.onnx")
    with serving_in_thread(store_root, admin_port=0, auth_tokens=tokens) as (running, _):
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "tokens.json", {"name": "both", "token": TOKEN, "scopes": ["generate", "admin"]})


@pytest.fixture
def models(server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``models`` with the address of the server and a token; returns what is printed, errors too."""
    token = tmp_path / "token"
    token.write_text(TOKEN)

    def run(*arguments: str, code: int = 0) -> str:
        found = run_command(["models", *arguments, "--address", str(server.admin_address), "--token-file", str(token)])
        printed = "".join(capsys.readouterr())
        assert found == code, printed
        return printed

    return run


def test_a_version_is_loaded_activated_rolled_back_and_unloaded(
    server: RunningServer, models: Run, store_root: Path
) -> None:
    digest = ModelStore(store_root).open("tiny", "2").digest
    assert "tiny/2 is loaded" in models("load", f"tiny/2@{digest}")
    listed = models("list")
    assert "tiny/1  active, default, 0 requests, layout: onnxruntime fp32" in listed
    assert "tiny/2  loaded, 0 requests" in listed
    assert digest in listed
    assert "tiny: 1* 2 3" in listed
    assert "version 2 is active; before it was version 1" in models("activate", "tiny/2", "--keep-previous")
    with Client(server.address, credentials=Credentials(token=TOKEN)) as client:
        assert client.label_space().identity.version == "2"
        assert client.label_space(version="1").identity.version == "1"
        assert client.label_space("tiny", version="2").identity.digest == digest
    assert "version 1 is active" in models("rollback", "tiny")
    assert "tiny/2 is unloaded" in models("unload", "tiny/2", "--force")
    assert "tiny/2  " not in models("list")


def test_what_cannot_be_is_told_and_changes_nothing(server: RunningServer, models: Run) -> None:
    assert "image.onnx" in models("activate", "tiny/3", code=1)
    assert "tiny/9: not in" in models("load", "tiny/9", code=2)
    assert "activate another version first" in models("unload", "tiny/1", code=1)
    assert "NAME/VERSION" in models("activate", "tiny", code=2)
    assert "tiny/1  active, default" in models("list")


def test_the_public_port_is_told_from_the_admin_port(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ["--address", server.address, "--token-file", str(tmp_path / "token")]
    assert run_command(["models", "list", *options]) == 1
    assert "not served there" in capsys.readouterr().err


def test_without_a_server_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["models", "list", "--address", "127.0.0.1:1", "--timeout", "5"]) != 0
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_keeping_the_version_before_is_for_servers_alone(store_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_bundle(store_root)
    assert run_command(["models", "activate", "tiny/1", "--keep-previous", "--model-store", str(store_root)]) == 2
    assert "only with --address" in capsys.readouterr().err
