"""A server whose engine dies under it: health, metrics, answers, and the client. Real graphs and engines."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving
from grpc_status import rpc_status
from numpy.typing import NDArray

from semantic_palette.client import AsyncClient
from semantic_palette.grpc_conventions import PUSHBACK_KEY
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.runtime import supervisor
from semantic_palette_services.runtime.engines.onnxruntime import OnnxRuntimeEngine
from semantic_palette_services.runtime.errors import EngineDiedError
from semantic_palette_services.server.lifecycle import RunningServer

REQUEST = layout.GenerateLayoutsRequest(
    items=[layout.LayoutItem(palette=common.Palette(shares={"road": 0.6, "sky": 0.4}), seed=seed) for seed in range(3)]
)


class Fate:
    """Decides what becomes of ONNX Runtime in this process.

    Attributes:
        dies: whether the next run ends the engine.
        hangs: whether the next run hangs until `wake`.
        may_load: set while engines can be loaded.
        broken: whether loading fails.
        loads: numbers of the engines loaded.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dies = self.hangs = self.broken = False
        self.wake = threading.Event()
        self.may_load = threading.Event()
        self.may_load.set()
        self.loads = itertools.count()
        load, run = OnnxRuntimeEngine.__init__, OnnxRuntimeEngine.run

        def fateful_load(engine: OnnxRuntimeEngine, *args: Any) -> None:
            assert self.may_load.wait(20)
            if self.broken:
                raise OSError("no such device")
            next(self.loads)
            load(engine, *args)

        def fateful_run(engine: OnnxRuntimeEngine, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            if self.dies:
                self.dies = False
                raise EngineDiedError("onnxruntime", "the card is gone")
            if self.hangs:
                self.hangs = False
                self.wake.wait(20)
            return run(engine, inputs)

        monkeypatch.setattr(OnnxRuntimeEngine, "__init__", fateful_load)
        monkeypatch.setattr(OnnxRuntimeEngine, "run", fateful_run)
        monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fate]:
    fate = Fate(monkeypatch)
    yield fate
    fate.may_load.set()
    fate.wake.set()


async def status(server: RunningServer, service: str) -> str:
    async with aio.insecure_channel(server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def failure(stubs: Stubs) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as caught:
        await stubs.layout.GenerateLayouts(REQUEST)
    return caught.value


def retry_info(error: aio.AioRpcError) -> float:
    """Seconds to wait, as the details say; the push-back in the trailers must say the same."""
    details = rpc_status.from_call(error)
    assert details is not None
    [delay] = [
        info.retry_delay.ToTimedelta().total_seconds()
        for detail in details.details
        if detail.Unpack(info := error_details_pb2.RetryInfo())
    ]
    pushback = dict(error.trailing_metadata() or ())[PUSHBACK_KEY]
    assert int(pushback) == round(delay * 1000)
    return delay


@asynchronous
async def test_a_server_is_not_ready_while_its_engine_is_restarted_and_answers_as_before_afterwards(
    tiny_root: Path, fate: Fate
) -> None:
    async with serving(tiny_root, services=("layout",)) as (server, stubs):
        before = await stubs.layout.GenerateLayouts(REQUEST)
        assert (await status(server, "readiness"), await status(server, "liveness")) == ("SERVING", "SERVING")
        loads = next(fate.loads)
        fate.dies = True
        fate.may_load.clear()
        assert (await failure(stubs)).code() is grpc.StatusCode.UNAVAILABLE
        error = await failure(stubs)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_info(error) > 0
        assert (await status(server, "readiness"), await status(server, "liveness")) == ("NOT_SERVING", "SERVING")
        fate.may_load.set()
        health = health_pb2_grpc.HealthStub(stubs.channel)
        async for change in health.Watch(health_pb2.HealthCheckRequest(service="readiness")):
            if change.status == health_pb2.HealthCheckResponse.SERVING:
                break
        after = await stubs.layout.GenerateLayouts(REQUEST)
        assert after == before
        # The layout model alone, by the one engine that was chosen, and without another selection.
        assert next(fate.loads) == loads + 2
        assert sample(server, "semantic_palette_engine_restarts_total", reason="died") == 1


@asynchronous
async def test_a_client_does_not_notice_the_death_of_an_engine(tiny_root: Path, fate: Fate) -> None:
    async with serving(tiny_root) as (server, _), AsyncClient(server.address) as client:
        pairs = []
        async for pair in client.generate_pairs(40, seed=1):
            if pair.index in (5, 20):
                fate.dies = True
            pairs.append(pair)
        assert [pair.index for pair in pairs] == list(range(40))
        assert sample(server, "semantic_palette_engine_restarts_total", reason="died") == 2
    async with serving(tiny_root) as (server, _), AsyncClient(server.address) as client:
        again = [pair async for pair in client.generate_pairs(40, seed=1)]
    for pair, undisturbed in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(pair.labels, undisturbed.labels)


@asynchronous
async def test_a_server_whose_engine_hangs_gives_it_up_and_answers_with_another(tiny_root: Path, fate: Fate) -> None:
    async with serving(tiny_root, services=("layout",), engine_hang_seconds=3.0) as (server, stubs):
        before = await stubs.layout.GenerateLayouts(REQUEST)
        fate.hangs = True
        error = await failure(stubs)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_info(error) > 0
        await eventually(lambda: sample(server, "semantic_palette_engine_restarts_total", reason="hung") == 1)
        async with asyncio.timeout(20):
            while await status(server, "readiness") != "SERVING":
                await asyncio.sleep(0.02)
        assert await stubs.layout.GenerateLayouts(REQUEST) == before
        assert sample(server, "semantic_palette_inflight_items", model="layout") == 0
        fate.wake.set()


@asynchronous
async def test_a_server_whose_engines_cannot_be_restarted_asks_to_be_replaced(
    tiny_root: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.02)
    async with serving(tiny_root, services=("layout",)) as (server, stubs):
        fate.broken = True
        fate.dies = True
        await failure(stubs)
        failed = {"reason": "failed"}
        restarts = "semantic_palette_engine_restarts_total"
        await eventually(lambda: sample(server, restarts, **failed) > supervisor.FAILURES_TO_LOSE)
        assert (await status(server, "readiness"), await status(server, "liveness")) == ("NOT_SERVING", "NOT_SERVING")
        fate.broken = False
        async with asyncio.timeout(20):
            while await status(server, "liveness") != "SERVING":
                await asyncio.sleep(0.02)
        await stubs.layout.GenerateLayouts(REQUEST)


@asynchronous
async def test_a_server_stops_while_its_engine_is_down(tiny_root: Path, fate: Fate) -> None:
    async with asyncio.timeout(20):
        async with serving(tiny_root, services=("layout",), drain_grace=1.0) as (_, stubs):
            fate.broken = True
            fate.dies = True
            await failure(stubs)
