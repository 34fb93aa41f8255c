"""Tokens and TLS of clients: what is sent where, and what is shown to nobody."""

from __future__ import annotations

import asyncio
import pickle
import socket
from pathlib import Path

import grpc
import pytest

from semantic_palette.client import AsyncClient, Client, Credentials
from semantic_palette.credentials import read_token
from semantic_palette.errors import InvalidInputError
from semantic_palette.grpc_conventions import is_loopback, stays_on_machine

TOKEN = "tok-5sJ0pQ3vXyZ8rT1uWmB6nC4dEfG7hK2a"


def test_nothing_shows_the_token() -> None:
    credentials = Credentials(token=TOKEN, ca="ca.pem")
    with Client("127.0.0.1:1", credentials=credentials) as client:
        held = (credentials, client, vars(client), vars(client._client))
        shown = [text for each in held for text in (repr(each), str(each))]
    assert all(TOKEN not in text for text in shown)
    assert "ca.pem" in repr(credentials)


@pytest.mark.parametrize("address", ["palette.example.org:50051", "10.0.0.1:50051", "dns:///palette:50051", "[::2]:1"])
def test_a_token_does_not_cross_a_network_in_plaintext(address: str) -> None:
    with pytest.raises(InvalidInputError, match="a token is sent over TLS") as caught:
        AsyncClient(address, credentials=Credentials(token=TOKEN))
    assert TOKEN not in str(caught.value)
    for credentials in (
        Credentials(token=TOKEN, tls=True),
        Credentials(token=TOKEN, ca="ca.pem"),
        Credentials(token=TOKEN, plaintext_token=True),
        Credentials(),
    ):
        AsyncClient(address, credentials=credentials)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "127.1.2.3:1",
        "localhost:50051",
        "[::1]:50051",
        "unix:/tmp/a.sock",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1,127.0.0.2:2",
        "ipv6:[::1]:1",
    ],
)
def test_a_token_is_sent_to_this_machine(address: str) -> None:
    assert stays_on_machine(address)
    AsyncClient(address, credentials=Credentials(token=TOKEN))


@pytest.mark.parametrize(
    "address",
    [
        "localhost.example.org:1",
        "127.0.0.1.example.org:1",
        "ipv4:127.0.0.1:1,10.0.0.1:2",
        "dns://127.0.0.1/palette:1",
        "dns://192.0.2.1/localhost:1",
        "0.0.0.0:1",
        "passthrough:///palette:1",
        "dns:palette:1",
        "ipv6:[2001:db8::1]:1",
    ],
)
def test_other_machines_are_not_taken_for_this_one(address: str) -> None:
    assert not stays_on_machine(address)


def test_a_token_for_this_machine_does_not_go_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(address: str) -> grpc.StatusCode:
        async with Credentials(token=TOKEN).open_channel(address) as channel:
            return await channel.unary_unary("/a/b")(b"", timeout=5).code()  # type: ignore[no-any-return]

    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy", "grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        proxy.setblocking(False)
        assert asyncio.run(call(f"127.0.0.1:{nobody.getsockname()[1]}")) is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_loopback_hosts() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "example.org", ""))


def test_credentials_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="key"):
        Credentials(certificate="a.pem")
    with pytest.raises(InvalidInputError, match="certificate"):
        Credentials(key="a.key")
    for token in ("", "new\nline", "schlüssel"):
        with pytest.raises(InvalidInputError, match="token") as caught:
            Credentials(token=token)
        assert not token or token not in str(caught.value)
    with pytest.raises(InvalidInputError, match=r"ca: .*cannot be read"):
        Credentials(ca=tmp_path / "nowhere").open_channel("127.0.0.1:1")


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN
    path.write_text(" \n")
    with pytest.raises(InvalidInputError, match="token_file"):
        read_token(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_token(tmp_path / "nowhere")


def test_equal_credentials_are_equal_and_survive_a_pickle() -> None:
    credentials = Credentials(token=TOKEN)
    assert pickle.loads(pickle.dumps(credentials)) == credentials
