"""grpc.health.v1: Check and Watch, per service and for the whole, on the public and the kubelet's port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import asynchronous, serving

from semantic_palette_services.server.health import NOT_SERVING, SERVING, Health

LAYOUT = "semantic_palette.v1.LayoutService"
READY = ("", "readiness", LAYOUT)


def ask(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@asynchronous
async def test_services_serve_once_the_server_runs(tiny_root: Path) -> None:
    async with (
        serving(tiny_root, services=("layout",)) as (server, stubs),
        aio.insecure_channel(f"127.0.0.1:{server.health_port}") as kubelet,
    ):
        for channel in (stubs.channel, kubelet):
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for service in (*READY, "liveness"):
                assert (await stub.Check(ask(service))).status == SERVING
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Check(ask("semantic_palette.v1.ImageService"))
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def _serve(health: Health) -> tuple[aio.Server, aio.Channel]:
    server = aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, aio.insecure_channel(f"127.0.0.1:{port}")


@asynchronous
async def test_nothing_is_ready_before_the_models_are_loaded() -> None:
    health = Health([LAYOUT])
    server, channel = await _serve(health)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    assert [(await stub.Check(ask(service))).status for service in READY] == [NOT_SERVING] * 3
    assert (await stub.Check(ask("liveness"))).status == SERVING
    health.set_ready(True)
    assert [(await stub.Check(ask(service))).status for service in READY] == [SERVING] * 3
    await channel.close()
    await server.stop(0)


@asynchronous
async def test_every_watcher_is_told_even_when_another_has_left() -> None:
    health = Health([LAYOUT])
    server, channel = await _serve(health)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    leaving, staying = stub.Watch(ask(LAYOUT)), stub.Watch(ask(LAYOUT))
    assert [(await watch.read()).status for watch in (leaving, staying)] == [NOT_SERVING] * 2
    leaving.cancel()
    await asyncio.sleep(0.1)
    health.set_ready(True)
    assert (await asyncio.wait_for(staying.read(), 5)).status == SERVING
    health.drain()
    assert (await asyncio.wait_for(staying.read(), 5)).status == NOT_SERVING
    health.set_ready(True)
    assert (await stub.Check(ask(LAYOUT))).status == NOT_SERVING
    health.end_watches()
    assert await asyncio.wait_for(staying.read(), 5) is aio.EOF
    await channel.close()
    await server.stop(0)


@asynchronous
async def test_watching_an_unknown_service_says_so() -> None:
    server, channel = await _serve(Health([LAYOUT]))
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(ask("nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
    await channel.close()
    await server.stop(0)


@asynchronous
async def test_without_engines_a_server_is_alive_but_not_ready() -> None:
    health = Health([LAYOUT])
    health.set_computing(False)
    health.set_ready(True)
    server, channel = await _serve(health)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(ask(LAYOUT))
    assert (await watch.read()).status == NOT_SERVING
    assert (await stub.Check(ask("liveness"))).status == SERVING
    health.set_computing(True)
    assert (await asyncio.wait_for(watch.read(), 5)).status == SERVING
    health.drain()
    health.set_computing(False)
    health.set_computing(True)
    assert (await stub.Check(ask(""))).status == NOT_SERVING
    watch.cancel()
    await channel.close()
    await server.stop(0)


@asynchronous
async def test_a_server_whose_engines_are_lost_is_not_alive_until_they_are_back() -> None:
    health = Health([LAYOUT])
    server, channel = await _serve(health)
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(ask("liveness"))
    assert (await watch.read()).status == SERVING
    for alive, status in ((False, NOT_SERVING), (True, SERVING)):
        health.set_alive(alive)
        assert (await asyncio.wait_for(watch.read(), 5)).status == status
    watch.cancel()
    await channel.close()
    await server.stop(0)
