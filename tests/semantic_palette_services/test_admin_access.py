"""The admin port: apart from the public one, and never open to anyone."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_helpers import asynchronous, local_settings, serving
from secret_files import ADMIN_TOKEN, TOKEN, Pki, write_tokens

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.errors import InvalidInputError
from semantic_palette.v1 import model_service_pb2 as pb
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub
from semantic_palette.v1.palette_service_pb2_grpc import PaletteServiceStub
from semantic_palette_services.server.lifecycle import run_server
from semantic_palette_services.server.reloading import SecretFileError
from semantic_palette_services.server.settings import read_settings

OK = grpc.StatusCode.OK


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_tokens(
        tmp_path / "tokens.json",
        {"name": "alice", "token": TOKEN},
        {"name": "operator", "token": ADMIN_TOKEN, "scopes": ["admin"]},
    )


async def code(address: str, stub: Any, method: str, request: Any, credentials: Credentials) -> grpc.StatusCode:
    """How a call ends."""
    async with credentials.open_channel(address) as channel:
        try:
            await getattr(stub(AuthorisedChannel(channel, credentials.metadata())), method)(request, timeout=20)
        except aio.AioRpcError as error:
            return error.code()
    return OK


async def administer(address: str, credentials: Credentials) -> grpc.StatusCode:
    return await code(address, ModelServiceStub, "ListBundles", pb.ListBundlesRequest(), credentials)


async def ask(address: str, credentials: Credentials) -> grpc.StatusCode:
    return await code(address, PaletteServiceStub, "GetLabelSpace", palette.GetLabelSpaceRequest(), credentials)


@asynchronous
async def test_each_token_opens_the_port_of_its_scope_alone(tiny_root: Path, tokens: Path) -> None:
    async with serving(tiny_root, services=("palette",), admin_port=0, auth_tokens=tokens) as (server, _):
        assert server.admin_address is not None
        alice, operator = Credentials(token=TOKEN), Credentials(token=ADMIN_TOKEN)
        assert await administer(server.admin_address, operator) is OK
        assert await administer(server.admin_address, alice) is grpc.StatusCode.PERMISSION_DENIED
        assert await administer(server.admin_address, Credentials()) is grpc.StatusCode.UNAUTHENTICATED
        assert await ask(server.address, alice) is OK
        assert await ask(server.address, operator) is grpc.StatusCode.PERMISSION_DENIED
        # What is served on one port is not there on the other.
        assert await administer(server.address, alice) is grpc.StatusCode.UNIMPLEMENTED
        assert await ask(server.admin_address, operator) is grpc.StatusCode.UNIMPLEMENTED


@asynchronous
async def test_the_log_says_who_asked_for_a_change(
    tiny_root: Path, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(tiny_root, services=("palette",), admin_port=0, auth_tokens=tokens) as (server, _):
        assert server.admin_address is not None
        load = pb.LoadBundleRequest(name="tiny", version="1")
        operator = Credentials(token=ADMIN_TOKEN)
        assert await code(server.admin_address, ModelServiceStub, "LoadBundle", load, operator) is OK
    assert any("load, asked for by operator: done" in message for message in caplog.messages)


@asynchronous
async def test_certificates_of_the_admin_ca_open_the_admin_port_and_others_do_not(
    tiny_root: Path, tmp_path: Path
) -> None:
    pki, users, admins = (Pki.create(tmp_path / name) for name in ("pki", "users", "admins"))
    settings = pki.server_settings() | {"tls_client_ca": users.ca, "admin_client_ca": admins.ca}
    identities = {
        authority: dict(zip(("certificate", "key"), authority.issue("client", "a@example.org"), strict=True))
        for authority in (users, admins)
    }
    user, admin = (Credentials(ca=pki.ca, **identities[authority]) for authority in (users, admins))
    async with serving(tiny_root, services=("palette",), admin_port=0, **settings) as (server, _):
        assert server.admin_address is not None
        assert await administer(server.admin_address, admin) is OK
        assert await administer(server.admin_address, user) is grpc.StatusCode.UNAVAILABLE
        assert await administer(server.admin_address, Credentials(ca=pki.ca)) is grpc.StatusCode.UNAVAILABLE
        assert await ask(server.address, user) is OK
        assert await ask(server.address, admin) is grpc.StatusCode.UNAVAILABLE


async def first_failure(stub: Any) -> grpc.StatusCode:
    """Administer until that fails, and how it does."""
    while True:
        await asyncio.sleep(0.1)
        try:
            await stub.ListBundles(pb.ListBundlesRequest(), timeout=20)
        except aio.AioRpcError as error:
            return error.code()


@asynchronous
async def test_a_connection_of_an_administrator_whose_ca_was_replaced_ends_with_its_age(
    tiny_root: Path, tmp_path: Path
) -> None:
    pki, admins, others = (Pki.create(tmp_path / name) for name in ("pki", "admins", "others"))
    settings = pki.server_settings() | {"admin_client_ca": admins.ca, "max_connection_age": 0.5}
    certificate, key = admins.issue("client", "a@example.org")
    admin = Credentials(ca=pki.ca, certificate=certificate, key=key)
    async with serving(tiny_root, services=("palette",), admin_port=0, **settings) as (server, _):
        assert server.admin_address is not None
        async with admin.open_channel(server.admin_address) as channel:
            stub: Any = ModelServiceStub(channel)  # type: ignore[no-untyped-call]
            await stub.ListBundles(pb.ListBundlesRequest(), timeout=20)
            admins.ca.write_bytes(others.ca.read_bytes())
            assert await asyncio.wait_for(first_failure(stub), 30) is grpc.StatusCode.UNAVAILABLE


def test_an_admin_port_that_nothing_guards_is_refused_on_loopback_too() -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(InvalidInputError, match="auth_tokens with a token of the scope admin is needed") as caught:
            read_settings(admin_port=50053, admin_host=host)
        assert caught.value.field == "admin_port"
    with pytest.raises(InvalidInputError, match="tls_certificate"):
        read_settings(admin_port=50053, admin_client_ca="ca.pem")
    with pytest.raises(InvalidInputError, match="plaintext"):
        read_settings(admin_port=50053, admin_host="0.0.0.0", auth_tokens="tokens.json")


@asynchronous
async def test_an_admin_port_for_whose_scope_there_is_no_token_stops_the_start(tiny_root: Path, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.json")
    with pytest.raises(SecretFileError, match="no token has the scope admin"):
        async with run_server(local_settings(tiny_root, admin_port=0, auth_tokens=tokens)):
            pass


def test_the_ca_of_all_callers_is_not_enough_at_the_admin_port() -> None:
    given: dict[str, Any] = {
        "tls_certificate": "a.pem",
        "tls_key": "a.key",
        "tls_client_ca": "ca.pem",
        "admin_port": 50053,
    }
    with pytest.raises(InvalidInputError, match=r"^admin_client_ca: .*every caller is an administrator"):
        read_settings(admin_client_ca="ca.pem", **given)
    read_settings(admin_client_ca="ca.pem", auth_tokens="tokens.json", **given)
    read_settings(admin_client_ca="admins.pem", **given)
