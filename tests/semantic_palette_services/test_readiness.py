"""A server is ready once its models have been loaded, checked and measured, and not a moment earlier."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import Stubs, asynchronous, local_settings

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.server import listeners
from semantic_palette_services.server.lifecycle import run_server

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynchronous
async def test_a_server_is_alive_while_it_loads_and_ready_when_it_can_answer(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: asyncio.Queue[int] = asyncio.Queue()
    loaded, go = asyncio.Event(), asyncio.Event()
    open_health_port, load = listeners.open_health_port, LoadedBundle.load

    async def opening(*arguments: object) -> int:
        port = await open_health_port(*arguments)  # type: ignore[arg-type]
        ports.put_nowait(port)
        return port

    async def loading(*arguments: object) -> LoadedBundle:
        bundle = await load(*arguments)  # type: ignore[arg-type]
        loaded.set()
        await go.wait()
        return bundle

    monkeypatch.setattr("semantic_palette_services.server.lifecycle.open_health_port", opening)
    monkeypatch.setattr(LoadedBundle, "load", loading)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with run_server(local_settings(tiny_root, services=("layout",))) as server:
            address.set_result(server.address)
            await stop.wait()

    serving = asyncio.create_task(serve())
    async with aio.insecure_channel(f"127.0.0.1:{await ports.get()}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watch.read()).status == NOT_SERVING
        await loaded.wait()
        alive = await health.Check(health_pb2.HealthCheckRequest(service="liveness"))
        ready = await health.Check(health_pb2.HealthCheckRequest(service="readiness"))
        assert (alive.status, ready.status) == (SERVING, NOT_SERVING)
        assert not address.done()
        go.set()
        assert (await watch.read()).status == SERVING
        async with aio.insecure_channel(await address) as public:
            item = layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))
            request = layout.GenerateLayoutsRequest(items=[item])
            assert len((await Stubs.of(public).layout.GenerateLayouts(request)).layouts) == 1
    stop.set()
    await serving
