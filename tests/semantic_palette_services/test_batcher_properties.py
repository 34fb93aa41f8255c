"""Whatever happens, every item ends exactly once, with its own answer or a typed error, and the gauges return to 0."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from recording_observer import RecordingObserver

from semantic_palette_services.runtime.admission import QueueLimits
from semantic_palette_services.runtime.batcher import Batcher
from semantic_palette_services.runtime.errors import (
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    InferenceError,
    QueueFullError,
)
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays

MAX_BATCH, MAX_QUEUE = 4, 6


@dataclass(frozen=True)
class Submit:
    """A sample is submitted; ``deadline`` is in seconds from then."""

    model: int
    width: int
    deterministic: bool
    poison: bool
    deadline: float | None


@dataclass(frozen=True)
class Cancel:
    """The caller of the ``which``-th sample so far gives up."""

    which: int


@dataclass(frozen=True)
class Pause:
    """Time passes; 0 is one pass of the event loop."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """A batcher is drained or closed while others go on."""

    model: int
    drain: bool


submits = st.builds(
    Submit,
    model=st.integers(0, 1),
    width=st.integers(1, 2),
    deterministic=st.booleans(),
    poison=st.integers(0, 5).map(lambda n: n == 0),
    deadline=st.sampled_from([None, None, None, 10.0, 0.002, -1.0]),
)
steps = st.one_of(
    submits,
    submits,
    submits,
    st.builds(Cancel, st.integers(0, 30)),
    st.builds(Pause, st.sampled_from([0.0, 0.0, 0.001])),
    st.builds(Stop, st.integers(0, 1), st.booleans()),
)


@dataclass
class Model:
    """Doubles what it is given; dies at its ``dies_at``-th run, of an error that an engine or a bug would raise."""

    death: type[BaseException]
    dies_at: int | None
    runs: itertools.count[int] = field(default_factory=itertools.count)
    died: bool = False

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        x_BW = inputs["x"]
        assert 1 <= len(x_BW) <= MAX_BATCH
        if next(self.runs) == self.dies_at:
            self.died = True
            raise EngineDiedError("model", "scripted") if self.death is EngineDiedError else self.death("scripted")
        time.sleep(0.0003)
        if (x_BW < 0).any():
            raise ValueError("poison")
        return {"y": 2 * x_BW}

    def run_alone(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        assert len(inputs["x"]) == 1
        return self.run(inputs)


class Scenario:
    """Two batchers on one device, and everybody who waits for them."""

    def __init__(self, models: tuple[Model, Model]) -> None:
        self.models = models
        self.loop = asyncio.get_running_loop()
        self.loop_errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.loop_errors.append(context))
        self.observer = RecordingObserver()
        self.executor = DeviceExecutor("test")
        self.batchers = [
            Batcher(
                model.run,
                self.executor,
                max_batch_size=MAX_BATCH,
                limits=QueueLimits(items=MAX_QUEUE),
                name=str(index),
                observer=self.observer,
                run_deterministic=model.run_alone,
            )
            for index, model in enumerate(models)
        ]
        self.waiting: list[tuple[Submit, float, asyncio.Task[dict[str, NDArray[Any]]]]] = []
        self.cancelled: set[int] = set()
        self.stops: list[asyncio.Task[None]] = []

    async def play(self, step: Submit | Cancel | Pause | Stop) -> None:
        if isinstance(step, Submit):
            value = float(len(self.waiting) + 1) * (-1 if step.poison else 1)
            deadline = None if step.deadline is None else self.loop.time() + step.deadline
            submit = self.batchers[step.model].submit(
                {"x": np.full(step.width, value, np.float32)}, deadline=deadline, deterministic=step.deterministic
            )
            self.waiting.append((step, value, asyncio.create_task(submit)))
        elif isinstance(step, Cancel):
            if step.which < len(self.waiting) and self.waiting[step.which][2].cancel():
                self.cancelled.add(step.which)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            batcher = self.batchers[step.model]
            self.stops.append(asyncio.create_task(batcher.drain() if step.drain else batcher.close()))

    async def finish(self) -> None:
        tasks = [task for _, _, task in self.waiting]
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=20)
            assert not hanging
        await asyncio.wait_for(asyncio.gather(*self.stops), timeout=20)
        for batcher in self.batchers:
            await asyncio.wait_for(batcher.drain(), timeout=20)
            await asyncio.wait_for(batcher.close(), timeout=20)
        await asyncio.wait_for(self.executor.close(), timeout=20)

    def check(self) -> None:
        assert self.loop_errors == []
        for index, (submit, value, task) in enumerate(self.waiting):
            if task.cancelled():
                assert index in self.cancelled
                continue
            error = task.exception()
            if error is None:
                np.testing.assert_array_equal(task.result()["y"], np.full(submit.width, 2 * value, np.float32))
            else:
                self.check_error(submit, error)
        for name in ("0", "1"):
            assert self.observer.in_flight[name] == 0
            assert self.observer.depth[name] == 0
        assert self.observer.lowest_in_flight == 0

    def check_error(self, submit: Submit, error: BaseException) -> None:
        died = any(model.died for model in self.models)
        stopped = bool(self.stops)
        reasons = {
            InferenceError: submit.poison,
            DeadlineUnmetError: submit.deadline is not None and submit.deadline < 10,
            QueueFullError: True,
            EngineDiedError: died,
            DrainingError: stopped,
        }
        assert any(isinstance(error, kind) and allowed for kind, allowed in reasons.items()), repr(error)


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(steps, max_size=40),
    dies_at=st.one_of(st.none(), st.none(), st.integers(0, 6)),
    death=st.sampled_from([EngineDiedError, SystemExit]),
)
def test_every_item_ends_once_with_its_answer_or_a_typed_error(
    script: list[Submit | Cancel | Pause | Stop], dies_at: int | None, death: type[BaseException]
) -> None:
    async def scenario() -> None:
        run = Scenario((Model(death, dies_at), Model(death, None)))
        for step in script:
            await run.play(step)
        await run.finish()
        run.check()

    asyncio.run(scenario())
