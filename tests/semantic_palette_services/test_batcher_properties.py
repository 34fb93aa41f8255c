"""Whatever happens, every item ends exactly once, with its own answer or a typed error, and the gauges return to 0.

What happens: items of both priorities arrive, alone or with places that were reserved; callers give up; samples poison
their batches; engines die, kill the device's thread or hang, and are restarted; batchers are drained and closed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from numpy.typing import NDArray
from recording_observer import RecordingObserver

from semantic_palette.priority import Priority
from semantic_palette_services.runtime import supervisor
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
from semantic_palette_services.runtime.observer import DeviceState, RestartReason
from semantic_palette_services.runtime.supervisor import Supervisor

MAX_BATCH, MAX_QUEUE = 4, 6
HANG_SECONDS = 0.05


@dataclass(frozen=True)
class Submit:
    """A sample is submitted; ``deadline`` is in seconds from then."""

    model: int
    width: int
    deterministic: bool
    bulk: bool
    poison: bool
    deadline: float | None


submits = st.builds(
    Submit,
    model=st.integers(0, 1),
    width=st.integers(1, 2),
    deterministic=st.booleans(),
    bulk=st.booleans(),
    poison=st.integers(0, 5).map(lambda n: n == 0),
    deadline=st.sampled_from([None, None, None, 10.0, 0.002, -1.0]),
)

Death: TypeAlias = Literal["engine", "thread", "hang"]


@dataclass(eq=False)
class Model:
    """Doubles what it is given; once doomed it dies at its next run, as an engine or a bug would, or hangs."""

    doom: Death | None = None
    died: bool = False
    end: threading.Event = field(default_factory=threading.Event)
    batcher: Batcher = field(init=False)
    executor: DeviceExecutor = field(init=False)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        x_BW = inputs["x"]
        assert 1 <= len(x_BW) <= MAX_BATCH
        death, self.doom = self.doom, None
        self.died |= death is not None
        match death:
            case "engine":
                raise EngineDiedError("model", "scripted")
            case "thread":
                raise SystemExit("scripted")
            case "hang":
                self.end.wait(20)
        time.sleep(0.0003)
        if (x_BW < 0).any():
            raise ValueError("poison")
        return {"y": 2 * x_BW}

    def run_alone(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        assert len(inputs["x"]) == 1
        return self.run(inputs)

    @property
    def healthy(self) -> bool:
        return self.batcher.healthy

    async def reload(self) -> None:
        await self.executor.run(lambda: None)
        self.batcher.revive()


class Scenario:
    """Two batchers on one device, and everybody who waits for them."""

    def __init__(self) -> None:
        self.models = (Model(), Model())
        self.loop = asyncio.get_running_loop()
        self.loop_errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.loop_errors.append(context))
        self.observer = RecordingObserver()
        self.executor = DeviceExecutor("test", HANG_SECONDS)
        self.supervisor = Supervisor(self.executor, HANG_SECONDS, self)
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
            for index, model in enumerate(self.models)
        ]
        for model, batcher in zip(self.models, self.batchers, strict=True):
            model.batcher, model.executor = batcher, self.executor
            self.executor.tenants.add(model)
        self.waiting: list[tuple[Submit, float, asyncio.Task[dict[str, NDArray[Any]]]]] = []
        self.cancelled: set[int] = set()
        self.stops: list[asyncio.Task[None]] = []

    async def begin(self, step: Submit) -> None:
        value = float(len(self.waiting) + 1) * (-1 if step.poison else 1)
        deadline = None if step.deadline is None else self.loop.time() + step.deadline
        submit = self.submit(step, np.full(step.width, value, np.float32), deadline)
        self.waiting.append((step, value, asyncio.create_task(submit)))

    async def give_up(self, which: int) -> None:
        if which < len(self.waiting) and self.waiting[which][2].cancel():
            self.cancelled.add(which)

    async def stop(self, model: int, drain: bool) -> None:
        batcher = self.batchers[model]
        self.stops.append(asyncio.create_task(batcher.drain() if drain else batcher.close()))

    async def submit(self, step: Submit, x: NDArray[Any], deadline: float | None) -> dict[str, NDArray[Any]]:
        batcher = self.batchers[step.model]
        if not step.bulk:
            return await batcher.submit({"x": x}, deadline=deadline, deterministic=step.deterministic)
        with batcher.reserve(1, Priority.BULK) as room:
            await asyncio.sleep(0)  # what is decoded meanwhile
            return await batcher.submit({"x": x}, deadline=deadline, deterministic=step.deterministic, room=room)

    def engine_restarted(self, reason: RestartReason) -> None: ...

    def device_changed(self, state: DeviceState) -> None: ...

    async def finish(self) -> None:
        tasks = [task for _, _, task in self.waiting]
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=20)
            assert not hanging
        await asyncio.wait_for(asyncio.gather(*self.stops), timeout=20)
        for batcher in self.batchers:
            await asyncio.wait_for(batcher.drain(), timeout=20)
            await asyncio.wait_for(batcher.close(), timeout=20)
        for model in self.models:
            model.end.set()
        await self.supervisor.stop()
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
        # On a machine that is busy enough, whatever runs seems to hang.
        died = any(model.died for model in self.models) or "no answer" in str(error)
        stopped = bool(self.stops)
        reasons = {
            InferenceError: submit.poison,
            DeadlineUnmetError: submit.deadline is not None and submit.deadline < 10,
            QueueFullError: True,
            EngineDiedError: died,
            DrainingError: stopped,
        }
        assert any(isinstance(error, kind) and allowed for kind, allowed in reasons.items()), repr(error)


class BatcherMachine(RuleBasedStateMachine):
    """Does to two batchers whatever can be done to them, in any order, while their device works."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.scenario = self.runner.run(self._start())

    async def _start(self) -> Scenario:
        return Scenario()

    @rule(steps=st.lists(submits, min_size=1, max_size=5))
    def submit(self, steps: list[Submit]) -> None:
        for step in steps:
            self.runner.run(self.scenario.begin(step))

    @rule(which=st.integers(0, 30))
    def give_up(self, which: int) -> None:
        self.runner.run(self.scenario.give_up(which))

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.001]))
    def pass_time(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule(model=st.integers(0, 1), death=st.sampled_from(get_args(Death)))
    def doom(self, model: int, death: Death) -> None:
        self.scenario.models[model].doom = death

    @precondition(lambda self: len(self.scenario.waiting) > 8)
    @rule(model=st.integers(0, 1), drain=st.booleans())
    def stop(self, model: int, drain: bool) -> None:
        self.runner.run(self.scenario.stop(model, drain))

    @invariant()
    def nobody_was_answered_twice(self) -> None:
        assert self.scenario.loop_errors == []
        assert self.scenario.observer.lowest_in_flight == 0

    def teardown(self) -> None:
        try:
            self.runner.run(self.scenario.finish())
            self.scenario.check()
        finally:
            self.runner.close()


def test_every_item_ends_once_with_its_answer_or_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.001)
    examples = settings(max_examples=60, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(BatcherMachine, settings=examples)  # type: ignore[no-untyped-call]
