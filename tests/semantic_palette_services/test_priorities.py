"""How urgent a call is reaches the queue of every model that works for it, in this process and through others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving, violations
from tiny_bundle import EDITING, write_tiny_bundle

from semantic_palette.priority import Priority
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.runtime import turn_order
from semantic_palette_services.runtime.admission import Room
from semantic_palette_services.runtime.batch_source import BatchSource
from semantic_palette_services.runtime.item_queue import BucketKey, Item
from semantic_palette_services.runtime.served_model import ServedModel

RAW = common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=16, width=32, data=bytes(16 * 32))
PHOTO = common.Image(format=common.IMAGE_FORMAT_RAW, height=16, width=32, data=bytes(16 * 32 * 3))
EDIT = common.LayoutEdit(target=common.ShareTargets(shares={"road": 1.0}))
REQUESTS = {"unspecified": 0, "interactive": common.PRIORITY_INTERACTIVE, "bulk": common.PRIORITY_BULK}


@pytest.fixture(scope="module")
def editing_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("editing") / "model_store"
    write_tiny_bundle(root, models=EDITING)
    return root


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Priority]]:
    """Model and priority of every place that is taken in a queue."""
    places: list[tuple[str, Priority]] = []
    reserve = ServedModel.reserve

    def recording(self: ServedModel, count: int, priority: Priority) -> AbstractContextManager[Room]:
        places.append((self.operation, priority))
        return reserve(self, count, priority)

    monkeypatch.setattr(ServedModel, "reserve", recording)
    return places


@asynccontextmanager
async def factory_of_remote_stages(root: Path) -> AsyncIterator[Stubs]:
    async with serving(root, services=("palette", "layout", "image")) as (stages, _):
        addresses = {f"{stage}_address": stages.address for stage in ("palette", "layout", "image")}
        async with serving(root, services=("factory",), **addresses) as (_, stubs):
            yield stubs


async def ask(stubs: Stubs, call: str, priority: int) -> None:
    item = layout.LayoutItem(palette=common.Palette(shares={"road": 1.0}))
    source = factory.EditSource(layout=RAW, image=PHOTO, edit=EDIT)
    choice: Any = {"priority": priority}
    match call:
        case "layouts":
            await stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest(items=[item], **choice))
        case "edits":
            edit = layout.EditItem(layout=RAW, edit=EDIT)
            await stubs.layout.EditLayouts(layout.EditLayoutsRequest(items=[edit], **choice))
        case "images":
            await stubs.image.TranslateLayouts(
                image.TranslateLayoutsRequest(items=[image.ImageItem(layout=RAW)], **choice)
            )
        case "pairs":
            async for _ in stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1, **choice)):
                pass
        case "edited pairs":
            async for _ in stubs.factory.EditPairs(factory.EditPairsRequest(sources=[source], count=1, **choice)):
                pass


CALLS = {
    "layouts": {"layout"},
    "edits": {"editor"},
    "images": {"image"},
    "pairs": {"layout", "image"},
    "edited pairs": {"editor", "image"},
}


def expected(call: str, requested: str) -> Priority:
    if requested == "unspecified":
        return Priority.BULK if "pairs" in call else Priority.INTERACTIVE
    return Priority(requested)


async def check(stubs: Stubs, calls: list[str], asked: list[tuple[str, Priority]]) -> None:
    for call in calls:
        for requested, number in REQUESTS.items():
            asked.clear()
            await ask(stubs, call, number)
            assert set(asked) == {(model, expected(call, requested)) for model in CALLS[call]}, (call, requested)


@asynchronous
async def test_calls_are_interactive_and_streams_are_bulk_unless_they_say_otherwise(
    editing_root: Path, asked: list[tuple[str, Priority]]
) -> None:
    async with serving(editing_root) as (_, stubs):
        await check(stubs, list(CALLS), asked)


@asynchronous
async def test_the_stages_of_a_factory_are_as_urgent_as_its_streams(
    editing_root: Path, asked: list[tuple[str, Priority]]
) -> None:
    async with factory_of_remote_stages(editing_root) as stubs:
        await check(stubs, ["pairs", "edited pairs"], asked)


@asynchronous
async def test_a_priority_that_does_not_exist_is_named(tiny_root: Path) -> None:
    async with serving(tiny_root) as (_, stubs):
        for call in ("layouts", "images", "pairs"):
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(stubs, call, 7)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert violations(caught.value) == [("priority", "7 is not allowed; 1 (interactive), 2 (bulk) are allowed")]


class Turns:
    """How many batches of any model the device began between the moment at which an item was queued and its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.between: dict[Priority, list[int]] = {priority: [] for priority in Priority}
        queued: dict[Item, int] = {}
        add, execute = BatchSource.add, BatchSource._execute

        def noting_add(source: BatchSource, item: Item) -> None:
            add(source, item)
            queued.setdefault(item, self.begun)

        def noting_execute(source: BatchSource, key: BucketKey, items: list[Item]) -> None:
            for item in items:
                self.between[item.priority].append(self.begun - queued.setdefault(item, self.begun))
            self.begun += 1
            execute(source, key, items)

        monkeypatch.setattr(BatchSource, "add", noting_add)
        monkeypatch.setattr(BatchSource, "_execute", noting_execute)


@asynchronous
async def test_beside_a_stream_of_a_million_pairs_a_call_waits_for_one_batch_at_most(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(store_root, work=10)
    monkeypatch.setattr(turn_order, "BULK_PAUSE_SECONDS", 60.0)  # however slow this machine is, no bulk batch is due
    turns = Turns(monkeypatch)
    async with serving(store_root, max_batch_size=4) as (server, stubs):
        stream = stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=1_000_000))
        reading = asyncio.create_task(read_all(stream))
        await eventually(lambda: sample(server, "semantic_palette_pairs_total") > 10)
        for _ in range(20):
            await asyncio.gather(ask(stubs, "layouts", 0), ask(stubs, "images", 0))
        assert not reading.done()
        stream.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    interactive = turns.between[Priority.INTERACTIVE]
    assert len(interactive) == 40
    # The batch that begins while the item is on its way to the device, and that of the other call.
    assert max(interactive) <= 2
    assert max(turns.between[Priority.BULK]) > 2


async def read_all(stream: Any) -> None:
    async for _ in stream:
        pass
