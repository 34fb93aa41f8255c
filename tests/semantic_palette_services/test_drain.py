"""SIGTERM under load: what was accepted is answered, what is new is refused, the process ends with status 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import Stubs, asynchronous, eventually, sample, scrape, serving, serving_in_process
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tiny_bundle import write_tiny_bundle

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import layout_service_pb2 as layout

CLIENTS = 16
INFLIGHT = 'semantic_palette_inflight_items{model="layout"}'


async def generate_until_refused(stubs: Stubs, seed: int) -> tuple[int, grpc.StatusCode]:
    """Ask for layouts, one request after the other; returns how many were answered and what ended it."""
    item = layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}), seed=seed)
    answered = 0
    while True:
        try:
            await stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[item] * 4))
        except aio.AioRpcError as error:
            return answered, error.code()
        answered += 1


@asynchronous
async def test_sigterm_under_load_loses_no_accepted_request(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    with serving_in_process(store_root) as server:
        async with aio.insecure_channel(server.address) as channel:
            stubs = Stubs.of(channel)
            clients = [asyncio.create_task(generate_until_refused(stubs, seed)) for seed in range(CLIENTS)]
            await asyncio.sleep(1.0)
            server.process.send_signal(signal.SIGTERM)
            ends = await asyncio.wait_for(asyncio.gather(*clients), 30)
        status = await asyncio.to_thread(server.process.wait, 30)
    assert status == 0
    assert all(answered > 0 for answered, _ in ends)
    # A request that was accepted is answered; UNAVAILABLE is only what the transport says to those that came too late.
    assert {code for _, code in ends} == {grpc.StatusCode.UNAVAILABLE}


@asynchronous
async def test_clients_that_keep_coming_do_not_hold_up_the_drain(store_root: Path) -> None:
    """Callers that retry on the connection that they have never leave the server alone."""
    write_tiny_bundle(store_root, work=20)
    request = layout.GenerateLayoutsRequest(items=[layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))])
    method = "semantic_palette.v1.LayoutService/GenerateLayouts"
    answered = 0

    async def keep_coming(stubs: Stubs) -> None:
        nonlocal answered
        while True:
            with contextlib.suppress(aio.AioRpcError):
                await stubs.layout.GenerateLayouts(request)
                answered += 1
            await asyncio.sleep(0.02)

    options = (("grpc.enable_retries", 0),)
    async with contextlib.AsyncExitStack() as stack:
        async with serving(store_root, services=("layout",), drain_grace=20.0) as (server, _):
            channel = await stack.enter_async_context(aio.insecure_channel(server.address, options=options))
            clients = [asyncio.create_task(keep_coming(Stubs.of(channel))) for _ in range(8)]
            await asyncio.sleep(0.5)
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 8.0
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    assert sample(server, "semantic_palette_requests_total", method=method, code="CANCELLED") == 0
    assert sample(server, "semantic_palette_requests_total", method=method, code="UNAVAILABLE") > 0
    assert sample(server, "semantic_palette_requests_total", method=method, code="OK") == answered > 0


@asynchronous
async def test_a_forgotten_stream_of_reflection_does_not_hold_up_the_drain(tiny_root: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(tiny_root, services=("palette",), drain_grace=20.0) as (server, _):
            channel = await stack.enter_async_context(aio.insecure_channel(server.address))
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert await call.read()
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 5.0


@asynchronous
async def test_a_stream_survives_the_replacement_of_its_server(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    count, received = 200, list[int]()

    async def read(address: str, first_index: int, pause: float) -> grpc.StatusCode:
        async with aio.insecure_channel(address) as channel:
            request = factory.GeneratePairsRequest(count=count - first_index, first_index=first_index)
            try:
                async for response in Stubs.of(channel).factory.GeneratePairs(request):
                    received.append(response.pair.provenance.index)
                    await asyncio.sleep(pause)
            except aio.AioRpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    with serving_in_process(store_root) as server:
        # Slow enough that the stream is not over before a busy machine delivers the signal.
        reading = asyncio.create_task(read(server.address, 0, pause=0.02))
        while len(received) < 3:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(server.terminate) == 0
        assert await reading is grpc.StatusCode.UNAVAILABLE
    with serving_in_process(store_root) as successor:
        assert await read(successor.address, len(received), pause=0.0) is grpc.StatusCode.OK
    assert received == list(range(count))


@asynchronous
async def test_health_says_not_serving_before_calls_are_refused(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(store_root)
    monkeypatch.setenv("SEMANTIC_PALETTE_PRE_STOP_DELAY", "1.5")
    with serving_in_process(store_root) as server:
        async with (
            aio.insecure_channel(f"127.0.0.1:{server.health_port}") as health_channel,
            aio.insecure_channel(server.address) as channel,
        ):
            health = health_pb2_grpc.HealthStub(health_channel)
            watch = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            server.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            alive = await health.Check(health_pb2.HealthCheckRequest(service="liveness"))
            assert alive.status == health_pb2.HealthCheckResponse.SERVING
            item = layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))
            await Stubs.of(channel).layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[item]))
            served = 'semantic_palette_layouts_total{adherence="natural",bundle="tiny",version="1"}'
            assert scrape(server.metrics_port)[served] == 1
        assert await asyncio.to_thread(server.process.wait, 30) == 0


@asynchronous
async def test_a_second_signal_stops_at_once(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bundle(store_root)
    monkeypatch.setenv("SEMANTIC_PALETTE_PRE_STOP_DELAY", "60")
    with serving_in_process(store_root) as server:
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 10) == 0


@asynchronous
async def test_a_second_signal_while_calls_finish_stops_at_once(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=1000)
    item = layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))
    with serving_in_process(store_root) as server:
        async with aio.insecure_channel(server.address) as channel:
            stub = Stubs.of(channel).layout
            calls = [stub.GenerateLayouts(layout.GenerateLayoutsRequest(items=[item] * 200)) for _ in range(2)]
            await eventually(lambda: scrape(server.metrics_port).get(INFLIGHT, 0.0) > 200)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, 4) == 0
            ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, aio.AioRpcError) for end in ends)
