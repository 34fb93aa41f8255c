"""Servers that ask for tokens: who is let in, to what, and how much of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import Stubs, asynchronous, eventually, local_settings, sample, serving, serving_in_thread
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from secret_files import ADMIN_TOKEN, TOKEN, Pki, write_tokens

from semantic_palette.client import (
    AsyncClient,
    Credentials,
    LayoutItem,
    OverloadedError,
    PermissionDeniedError,
    RetryPolicy,
    UnauthenticatedError,
)
from semantic_palette.errors import InvalidInputError
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.server import reloading
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.reloading import SecretFileError
from semantic_palette_services.server.settings import read_settings

ONCE = RetryPolicy(max_attempts=1)
OTHER_TOKEN = "oth-3mN8bV5cXz1aSd7fGh2jKl9qWeRt4yUi"


@pytest.fixture(autouse=True)
def frequent_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.02)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return write_tokens(
        tmp_path / "tokens.json",
        {"name": "alice", "token": TOKEN},
        {"name": "operator", "token": ADMIN_TOKEN, "scopes": ["admin"]},
    )


@asynccontextmanager
async def asking(
    root: Path, tokens: Path, token: str | None = TOKEN, **settings: Any
) -> AsyncIterator[tuple[RunningServer, AsyncClient]]:
    """A server that asks for tokens, and a client with one."""
    async with (
        serving(root, auth_tokens=tokens, **settings) as (server, _),
        AsyncClient(server.address, retry=ONCE, credentials=Credentials(token=token)) as client,
    ):
        yield server, client


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@asynchronous
async def test_a_token_opens_every_service_and_streams(tiny_root: Path, tokens: Path) -> None:
    async with asking(tiny_root, tokens) as (_, client):
        assert (await client.label_space()).identity.name == "tiny"
        assert len((await client.generate_layouts([LayoutItem({"sky": 1.0})])).layouts) == 1
        assert [pair.index async for pair in client.generate_pairs(5)] == list(range(5))


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer(OTHER_TOKEN),
        bearer(""),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", TOKEN),),
        (*bearer(TOKEN), *bearer(TOKEN)),
        (("token", TOKEN),),
    ],
    ids=["none", "unknown", "empty", "other scheme", "no scheme", "twice", "other header"],
)
def test_without_a_known_token_nothing_is_answered(
    asking_in_thread: tuple[RunningServer, Stubs], metadata: Any
) -> None:
    server, stubs = asking_in_thread
    refused = sample(server, "semantic_palette_access_refused_total", reason="unauthenticated")
    calls = [
        lambda: stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest(), metadata=metadata),
        lambda: stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(), metadata=metadata),
        lambda: list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1), metadata=metadata)),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert TOKEN not in error.details()
        assert OTHER_TOKEN not in error.details()
        assert reason(error) == "UNAUTHENTICATED"
    assert sample(server, "semantic_palette_access_refused_total", reason="unauthenticated") == refused + len(calls)


@pytest.fixture(scope="module")
def asking_in_thread(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = write_tokens(
        tmp_path_factory.mktemp("tokens") / "tokens.json",
        {"name": "alice", "token": TOKEN},
        {"name": "operator", "token": ADMIN_TOKEN, "scopes": ["admin"]},
    )
    with serving_in_thread(tiny_root, auth_tokens=path) as running:
        yield running


def reason(error: Any) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


def test_the_scheme_is_written_in_any_case(asking_in_thread: tuple[RunningServer, Stubs]) -> None:
    _, stubs = asking_in_thread
    metadata = (("authorization", f"bearer {TOKEN}"),)
    assert stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest(), metadata=metadata).classes


def test_health_needs_no_token_and_reflection_does(asking_in_thread: tuple[RunningServer, Stubs]) -> None:
    server, stubs = asking_in_thread
    stub: Any = health_pb2_grpc.HealthStub(stubs.channel)
    assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(stubs.channel).get_services()
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(server.address) as channel:
        with_token = grpc.intercept_channel(channel, WithToken())
        assert "semantic_palette.v1.FactoryService" in ProtoReflectionDescriptorDatabase(with_token).get_services()


class WithToken(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(details._replace(metadata=list(bearer(TOKEN))), requests)


def test_reflection_can_be_left_out(tiny_root: Path) -> None:
    with serving_in_thread(tiny_root, services=("palette",), reflection=False) as (_, stubs):
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(stubs.channel).get_services()
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_refused_call_is_not_read(asking_in_thread: tuple[RunningServer, Stubs]) -> None:
    """Bytes that are no message would be INVALID_ARGUMENT for those who may call."""
    _, stubs = asking_in_thread
    method = stubs.channel.unary_unary("/semantic_palette.v1.LayoutService/GenerateLayouts")
    codes = []
    for metadata in ((), bearer(TOKEN)):
        with pytest.raises(grpc.RpcError) as caught:
            method(b"\xff" * 1000, metadata=metadata)
        codes.append(caught.value.code())  # type: ignore[attr-defined]
    assert codes == [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT]


@asynchronous
async def test_clients_get_errors_of_their_own_types(tiny_root: Path, tokens: Path) -> None:
    async with asking(tiny_root, tokens, token=None) as (server, client):
        with pytest.raises(UnauthenticatedError, match="authorization: Bearer"):
            await client.label_space()
        async with AsyncClient(server.address, credentials=Credentials(token=ADMIN_TOKEN)) as admin:
            with pytest.raises(PermissionDeniedError, match="'operator' has not got the scope 'generate'"):
                await admin.label_space()


@asynchronous
async def test_refusals_are_logged_with_who_and_why_and_do_not_fill_the_log(
    tiny_root: Path, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(tiny_root, tokens, token=OTHER_TOKEN, services=("palette",)) as (server, client):
        for _ in range(50):
            with pytest.raises(UnauthenticatedError):
                await client.label_space()
        refused = sample(server, "semantic_palette_access_refused_total", reason="unauthenticated")
    lines = [record.fields for record in caplog.records if record.message == "a call was refused"]  # type: ignore[attr-defined]
    assert refused == 50
    assert 1 <= len(lines) < 50
    assert lines[0]["method"] == "semantic_palette.v1.PaletteService/GetLabelSpace"
    assert lines[0]["peer"].startswith("ipv4:127.0.0.1:")
    assert lines[0]["why"] == "the token is not known"


@asynchronous
async def test_tokens_and_tls_together(tiny_root: Path, tokens: Path, tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki")
    async with serving(tiny_root, auth_tokens=tokens, **pki.server_settings()) as (server, _):
        async with AsyncClient(server.address, credentials=pki.client(token=TOKEN)) as client:
            assert [pair.index async for pair in client.generate_pairs(3)] == [0, 1, 2]
        async with AsyncClient(server.address, credentials=pki.client()) as client:
            with pytest.raises(UnauthenticatedError):
                await client.label_space()


@asynchronous
async def test_a_stream_over_its_rate_is_slowed_down_and_not_failed(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.json", {"name": "alice", "token": TOKEN, "pairs_per_second": 20})
    async with asking(tiny_root, path) as (_, client):
        began = time.monotonic()
        assert [pair.index async for pair in client.generate_pairs(40)] == list(range(40))
        assert time.monotonic() - began >= 0.99  # a second's worth at once, the others at their rate


@asynchronous
async def test_items_over_the_rate_are_refused_with_when_to_come_back(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.json", {"name": "alice", "token": TOKEN, "pairs_per_second": 0.01})
    async with serving(tiny_root, auth_tokens=path) as (_, stubs):
        item = layout.LayoutItem(palette=common.Palette(shares={"sky": 1.0}))
        request = layout.GenerateLayoutsRequest(items=[item])
        await stubs.layout.GenerateLayouts(request, metadata=bearer(TOKEN))
        with pytest.raises(aio.AioRpcError) as caught:
            await stubs.layout.GenerateLayouts(request, metadata=bearer(TOKEN))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason(caught.value) == "QUOTA_EXCEEDED"
        trailers = dict(caught.value.trailing_metadata() or ())
        assert 0 < int(trailers["grpc-retry-pushback-ms"]) <= 100_000


@asynchronous
async def test_clients_come_back_when_they_are_told_to(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.json", {"name": "alice", "token": TOKEN, "pairs_per_second": 2})
    async with (
        serving(tiny_root, auth_tokens=path) as (server, _),
        AsyncClient(server.address, credentials=Credentials(token=TOKEN)) as client,
    ):
        for _ in range(4):
            assert len((await client.generate_layouts([LayoutItem({"sky": 1.0})])).layouts) == 1


@asynchronous
async def test_one_token_has_only_so_many_streams_and_takes_none_of_anothers(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(
        tmp_path / "tokens.json",
        {"name": "alice", "token": TOKEN, "max_streams": 1},
        {"name": "bob", "token": OTHER_TOKEN, "max_streams": 1},
    )
    async with (
        asking(tiny_root, path) as (server, alice),
        AsyncClient(server.address, retry=ONCE, credentials=Credentials(token=OTHER_TOKEN)) as bob,
    ):
        async with alice.generate_pairs(1000) as stream:
            await anext(stream)
            with pytest.raises(OverloadedError, match="'alice': 1 streams at a time"):
                await anext(alice.generate_pairs(1))
            assert (await anext(bob.generate_pairs(1))).index == 0
        await eventually(lambda: sample(server, "semantic_palette_inflight_pairs") == 0)
        assert (await anext(alice.generate_pairs(1))).index == 0


@asynchronous
async def test_tokens_are_reloaded_and_a_stream_of_one_that_is_gone_ends(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.json", {"name": "alice", "token": TOKEN, "pairs_per_second": 50})
    async with (
        asking(tiny_root, path) as (server, alice),
        AsyncClient(server.address, credentials=Credentials(token=OTHER_TOKEN)) as bob,
        alice.generate_pairs(100_000) as stream,
    ):
        await anext(stream)
        write_tokens(path, {"name": "bob", "token": OTHER_TOKEN})
        await eventually(lambda: reloads(server, "ok") >= 1)
        assert (await bob.label_space()).identity.name == "tiny"
        with pytest.raises(UnauthenticatedError):
            await alice.label_space()
        with pytest.raises(UnauthenticatedError):
            async for _ in stream:
                pass


def reloads(server: RunningServer, result: str) -> float:
    return sample(server, "semantic_palette_reloads_total", what="auth_tokens", result=result)


@asynchronous
async def test_a_malformed_file_of_tokens_keeps_the_old_ones(
    tiny_root: Path, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(tiny_root, tokens) as (server, client):
        tokens.write_text(f'[{{"name": "eve", "token": "{OTHER_TOKEN}", "admin": true}}]')
        await eventually(lambda: reloads(server, "refused") >= 1)
        assert (await client.label_space()).identity.name == "tiny"
        [message] = [message for message in caplog.messages if "admin" in message or "[0]" in message]
        assert "auth_tokens: not reloaded" in message
        assert OTHER_TOKEN not in caplog.text


@asynchronous
async def test_a_draining_server_lets_slowed_streams_resume_elsewhere(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.json", {"name": "alice", "token": TOKEN, "pairs_per_second": 2})
    stack = run_server(local_settings(tiny_root, auth_tokens=path))
    server = await stack.__aenter__()
    async with aio.insecure_channel(server.address) as channel:
        call = Stubs.of(channel).factory.GeneratePairs(factory.GeneratePairsRequest(count=100), metadata=bearer(TOKEN))
        assert (await call.read()).pair.provenance.index == 0
        began = time.monotonic()
        await stack.__aexit__(None, None, None)
        assert time.monotonic() - began < 25  # not the 50 s of the pairs that were not begun
        with pytest.raises(aio.AioRpcError) as caught:
            await read_to_end(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def read_to_end(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass


def test_tokens_on_a_network_without_tls_are_refused_unless_they_are_asked_for(tokens: Path) -> None:
    for host in ("0.0.0.0", "10.1.2.3", "palette.example.org", "::"):
        with pytest.raises(InvalidInputError, match="plaintext") as caught:
            read_settings(auth_tokens=tokens, host=host)
        assert caught.value.field == "auth_tokens"
    read_settings(auth_tokens=tokens, host="0.0.0.0", allow_plaintext_tokens=True)
    for host in ("127.0.0.1", "localhost", "::1"):
        read_settings(auth_tokens=tokens, host=host)
    read_settings(auth_tokens=tokens, host="0.0.0.0", tls_certificate="c.pem", tls_key="c.key")


@asynchronous
async def test_a_server_does_not_start_with_a_file_that_has_no_tokens(tiny_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    for content in ("{}", '[{"name": "a", "token": "short"}]'):
        path.write_text(content)
        with pytest.raises(SecretFileError, match="auth_tokens"):
            async with run_server(local_settings(tiny_root, auth_tokens=path)):
                pass


@asynchronous
async def test_calls_of_different_tokens_at_once_are_each_their_callers_own(tiny_root: Path, tmp_path: Path) -> None:
    path = write_tokens(
        tmp_path / "tokens.json",
        {"name": "slow", "token": TOKEN, "pairs_per_second": 0.01},
        {"name": "fast", "token": OTHER_TOKEN},
    )
    async with (
        asking(tiny_root, path) as (server, slow),
        AsyncClient(server.address, retry=ONCE, credentials=Credentials(token=OTHER_TOKEN)) as fast,
    ):
        items = [LayoutItem({"sky": 1.0})] * 3
        await slow.generate_layouts(items)
        fine, refused = await asyncio.gather(
            asyncio.gather(*(fast.generate_layouts(items) for _ in range(10))),
            asyncio.gather(*(slow.generate_layouts(items) for _ in range(10)), return_exceptions=True),
        )
        assert len(fine) == 10
        assert {type(error) for error in refused} == {OverloadedError}
