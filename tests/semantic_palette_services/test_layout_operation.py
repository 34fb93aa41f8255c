"""How much the layout operation holds in memory."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
from grpc_helpers import asynchronous

from semantic_palette.label_space import LabelClass, LabelSpace
from semantic_palette.pair import Adherence, EngineIdentity
from semantic_palette.priority import Priority
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.layout.operation import LayoutOperation, LayoutOptions, LayoutRequest
from semantic_palette_services.runtime.admission import Room


class Bundle:
    name, version, digest = "tiny", "1", "0" * 64
    label_space = LabelSpace("two", [LabelClass(0, "road", (1, 1, 1)), LabelClass(1, "tree", (2, 2, 2))])
    height = width = 4


class ScoresModel:
    """Answers at once, and counts how many scores it has given out."""

    max_batch_size = 4

    def __init__(self) -> None:
        self.given = 0

    def reserve(self, count: int, priority: Priority) -> Any:
        return nullcontext(Room(priority, count))

    def noise(self, seed: int, index: int, stage: str) -> dict[str, Any]:
        return {"z": np.zeros(3, np.float32)}

    def engine_for(self, *, deterministic: bool) -> EngineIdentity:
        return EngineIdentity("fake", "1", "fp32", "0" * 64)

    async def infer(self, inputs: Any, **_: Any) -> dict[str, Any]:
        self.given += 1
        return {"scores": np.zeros((2, 4, 4), np.float32)}


class Observer:
    def layout_served(self, *_: Any) -> None: ...


@asynchronous
async def test_scores_wait_for_their_budgets_in_a_bounded_number() -> None:
    pool = WorkerPool(2)
    go = threading.Event()
    model: Any = ScoresModel()
    operation = LayoutOperation(
        Bundle(),  # type: ignore[arg-type]
        {"layout": model, "layout_scores": model},
        pool=pool,
        observer=Observer(),
    )
    options = LayoutOptions(adherence=Adherence.EXACT)
    busy = [asyncio.create_task(pool.run(go.wait, 20)) for _ in range(2)]
    requests = [LayoutRequest(np.array([0.25, 0.75]), 0, index) for index in range(64)]
    tasks = [asyncio.create_task(operation.generate(request, options)) for request in requests]
    for _ in range(20):
        await asyncio.sleep(0)
    assert model.given == 2 + 4
    go.set()
    layouts = await asyncio.gather(*tasks)
    assert model.given == 64
    assert all(np.bincount(layout.labels.ravel()).tolist() == [4, 12] for layout in layouts)
    await asyncio.gather(*busy)
    pool.close()
