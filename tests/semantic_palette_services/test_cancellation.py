"""Nothing is computed for callers who have gone: requests of many items, given up while the first of them runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving
from numpy.typing import NDArray
from tiny_bundle import EDITING, write_tiny_bundle

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.image import operation as image_operation
from semantic_palette_services.layout import operation as layout_operation
from semantic_palette_services.layout import servicer as layout_servicer
from semantic_palette_services.runtime.engines.onnxruntime import OnnxRuntimeEngine
from semantic_palette_services.server.lifecycle import RunningServer

ITEMS = 40
RAW = common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=16, width=32, data=bytes(16 * 32))
EDIT = common.LayoutEdit(target=common.ShareTargets(shares={"road": 1.0}))
LAYOUT = layout.LayoutItem(palette=common.Palette(shares={"road": 0.5, "sky": 0.5}))


class Device:
    """ONNX Runtime, held in the middle of its first run until it is let go; and what is done with its answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = False
        self.running, self.go = threading.Event(), threading.Event()
        self.items = 0
        self.afterwards: list[str] = []
        self._monkeypatch = monkeypatch
        run = OnnxRuntimeEngine.run

        def held_run(engine: OnnxRuntimeEngine, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            if self.holds:
                self.items += len(next(iter(inputs.values())))
                self.running.set()
                assert self.go.wait(20)
            return run(engine, inputs)

        monkeypatch.setattr(OnnxRuntimeEngine, "run", held_run)
        for module, name in (
            (layout_operation, "exact_labels"),
            (layout_servicer, "encode_labels"),
            (image_operation, "encode_image"),
        ):
            self._count(module, name)

    def _count(self, module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any) -> Any:
            self.afterwards.append(name)
            return original(*args)

        self._monkeypatch.setattr(module, name, counting)

    async def hold(self) -> None:
        """Wait until a batch is in the engine."""
        await asyncio.to_thread(self.running.wait, 20)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


@pytest.fixture(scope="module")
def editing_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("editing") / "model_store"
    write_tiny_bundle(root, models=EDITING)
    return root


def start(stubs: Stubs, call: str, timeout: float | None = None) -> Any:
    match call:
        case "layouts":
            return stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[LAYOUT] * ITEMS), timeout=timeout)
        case "exact layouts":
            request = layout.GenerateLayoutsRequest(items=[LAYOUT] * ITEMS, adherence=common.ADHERENCE_EXACT)
            return stubs.layout.GenerateLayouts(request, timeout=timeout)
        case "edits":
            edits = [layout.EditItem(layout=RAW, edit=EDIT)] * ITEMS
            return stubs.layout.EditLayouts(layout.EditLayoutsRequest(items=edits), timeout=timeout)
        case "images":
            images = [image.ImageItem(layout=RAW)] * ITEMS
            return stubs.image.TranslateLayouts(image.TranslateLayoutsRequest(items=images), timeout=timeout)
        case _:
            return stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=ITEMS), timeout=timeout)


MODELS = {
    "layouts": "layout",
    "exact layouts": "layout_scores",
    "edits": "editor",
    "images": "image",
    "pairs": "layout",
}


async def check_nothing_is_left(server: RunningServer, device: Device, model: str) -> None:
    await eventually(lambda: sample(server, "semantic_palette_inflight_items", model=model) == 0)
    assert sample(server, "semantic_palette_queue_depth", model=model) == 0
    assert sample(server, "semantic_palette_inflight_pairs") == 0
    device.go.set()
    await eventually(lambda: server.bundle is not None and not server.bundle.models[model].batcher.engine_in_use)
    await asyncio.sleep(0.02)
    assert device.items <= 8  # the batch that ran
    assert device.afterwards == []


@pytest.mark.parametrize("call", MODELS)
@asynchronous
async def test_a_request_that_is_cancelled_leaves_the_queue_at_once(
    call: str, editing_root: Path, device: Device
) -> None:
    async with serving(editing_root) as (server, stubs):
        device.holds = True
        pending = start(stubs, call)
        reading = asyncio.create_task(pending.read()) if call == "pairs" else None
        await device.hold()
        assert sample(server, "semantic_palette_inflight_items", model=MODELS[call]) > 1
        pending.cancel()
        await check_nothing_is_left(server, device, MODELS[call])
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)
        await stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[LAYOUT]))


@pytest.mark.parametrize("call", ["exact layouts", "images"])
@asynchronous
async def test_a_request_whose_deadline_passes_leaves_the_queue_at_once(
    call: str, editing_root: Path, device: Device
) -> None:
    async with serving(editing_root) as (server, stubs):
        device.holds = True
        pending = start(stubs, call, timeout=1.5)
        await device.hold()
        with pytest.raises(aio.AioRpcError) as caught:
            await pending
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await check_nothing_is_left(server, device, MODELS[call])


@asynchronous
async def test_who_shares_a_batch_with_a_cancelled_request_gets_its_answer(editing_root: Path, device: Device) -> None:
    async with serving(editing_root, max_batch_size=8) as (_, stubs):
        single = layout.GenerateLayoutsRequest(items=[LAYOUT])
        alone = await stubs.layout.GenerateLayouts(single)
        device.holds = True
        first = asyncio.ensure_future(stubs.layout.GenerateLayouts(single))
        await device.hold()
        given_up = start(stubs, "layouts")
        mate = asyncio.ensure_future(stubs.layout.GenerateLayouts(single))
        await asyncio.sleep(0.2)
        given_up.cancel()
        await asyncio.sleep(0.05)
        device.go.set()
        for answer in await asyncio.gather(first, mate):
            np.testing.assert_array_equal(answer.layouts[0].layout.data, alone.layouts[0].layout.data)
        assert device.items == 2
