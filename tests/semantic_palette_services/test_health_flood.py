"""What strangers can do to a server with the one service that needs no token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import asynchronous, serving
from secret_files import write_tokens

from semantic_palette_services.server import health_interceptor
from semantic_palette_services.server.lifecycle import RunningServer

CHECK = "/grpc.health.v1.Health/Check"
ANY = health_pb2.HealthCheckRequest()


@asynccontextmanager
async def both_ports(root: Path, tmp_path: Path) -> AsyncIterator[tuple[RunningServer, list[aio.Channel]]]:
    """A server that asks for tokens, and channels to its public and its health port."""
    tokens = write_tokens(tmp_path / "tokens.json")
    async with AsyncExitStack() as stack:
        server, _ = await stack.enter_async_context(serving(root, services=("palette",), auth_tokens=tokens))
        addresses = (server.address, f"127.0.0.1:{server.health_port}")
        yield server, [await stack.enter_async_context(aio.insecure_channel(address)) for address in addresses]


@asynchronous
async def test_only_so_many_watch_and_others_may_still_ask(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_interceptor, "MAX_OPEN", 5)
    async with both_ports(tiny_root, tmp_path) as (_, channels):
        for channel in channels:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watches = [stub.Watch(ANY) for _ in range(5)]
            for watch in watches:
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Watch(ANY).read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (await stub.Check(ANY)).status == health_pb2.HealthCheckResponse.SERVING
            watches[0].cancel()
            assert (await answered_watch(stub)).status == health_pb2.HealthCheckResponse.SERVING
            for watch in watches:
                watch.cancel()


async def answered_watch(stub: Any) -> Any:
    """The first answer of a watch, as soon as there is a place for one."""
    while True:
        watch = stub.Watch(ANY)
        (answer,) = await asyncio.gather(watch.read(), return_exceptions=True)
        watch.cancel()
        if not isinstance(answer, aio.AioRpcError):
            return answer


@asynchronous
async def test_calls_that_send_no_request_do_not_keep_others_from_asking(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_interceptor, "READ_SECONDS", 0.2)
    async with both_ports(tiny_root, tmp_path) as (_, channels):
        for channel in channels:
            silent = [channel.stream_stream(CHECK)() for _ in range(20)]
            await asyncio.gather(*(call.wait_for_connection() for call in silent))
            stub: Any = health_pb2_grpc.HealthStub(channel)
            assert (await stub.Check(ANY, timeout=30)).status == health_pb2.HealthCheckResponse.SERVING
            for call in silent:
                assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@asynchronous
async def test_the_health_port_takes_no_large_requests(tiny_root: Path, tmp_path: Path) -> None:
    async with both_ports(tiny_root, tmp_path) as (_, channels):
        stub: Any = health_pb2_grpc.HealthStub(channels[1])
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="x" * 10_000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
