"""Engines that die or hang are restarted, and everybody is told. The engines are functions; the threads are real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from grpc_helpers import eventually
from numpy.typing import NDArray
from recording_observer import RecordingObserver

from semantic_palette_services.runtime import supervisor as module
from semantic_palette_services.runtime.admission import QueueLimits
from semantic_palette_services.runtime.batcher import Batcher
from semantic_palette_services.runtime.errors import DrainingError, EngineDiedError
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays
from semantic_palette_services.runtime.observer import DeviceState, RestartReason
from semantic_palette_services.runtime.supervisor import Supervisor

HANG_SECONDS = 2.0  # so that on a busy machine nothing else seems to hang
DIES, HANGS, KILLS = -1.0, -2.0, -3.0


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)


class Model:
    """Adds 1; dies, hangs, or ends the device's thread, when it is told to. A tenant."""

    def __init__(self, name: str, executor: DeviceExecutor, observer: RecordingObserver) -> None:
        self.name = name
        self.executor = executor
        self.threads: list[threading.Thread] = []
        self.loads = 0
        self.fail_loads = 0
        self.hanging = threading.Event()
        self.go_on = threading.Event()
        self.batcher = Batcher(
            self.run, executor, max_batch_size=4, limits=QueueLimits(items=64), name=name, observer=observer
        )
        executor.tenants.add(self)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        x = inputs["x"]
        self.threads.append(threading.current_thread())
        if (x == DIES).any():
            raise EngineDiedError(self.name, "the card is gone")
        if (x == KILLS).any():
            raise SystemExit("out of stack")
        if (x == HANGS).any():
            self.hanging.set()
            self.go_on.wait(20)
        return {"y": x + 1}

    @property
    def healthy(self) -> bool:
        return self.batcher.healthy

    async def reload(self) -> None:
        await self.executor.run(self._load)
        self.batcher.revive()

    def _load(self) -> None:
        self.loads += 1
        if self.fail_loads:
            self.fail_loads -= 1
            raise OSError("no such device")

    async def ask(self, value: float) -> float:
        return float((await self.batcher.submit({"x": np.full(1, value)}))["y"][0])


class Bench:
    """Two models on one device under a supervisor, and what it reports."""

    def __init__(self) -> None:
        self.states: list[DeviceState] = []
        self.restarts: list[RestartReason] = []
        self.observer = RecordingObserver()
        self.executor = DeviceExecutor("test", HANG_SECONDS)
        self.models = [Model(name, self.executor, self.observer) for name in ("layout", "image")]
        self.supervisor = Supervisor(self.executor, HANG_SECONDS, self)

    def engine_restarted(self, reason: RestartReason) -> None:
        self.restarts.append(reason)

    def device_changed(self, state: DeviceState) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    async def until_up(self) -> None:
        await eventually(lambda: self.states[-1:] == ["up"])

    async def close(self) -> None:
        for model in self.models:
            model.go_on.set()
            await model.batcher.close()
        await self.supervisor.stop()
        await self.executor.close()


def serve(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    """Run a test; afterwards the gauges must be at 0 and no callback of the loop may have failed."""

    async def main() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        bench = Bench()
        try:
            await asyncio.wait_for(test(bench), 30)
        finally:
            await bench.close()
        assert failures == []
        assert set(bench.observer.in_flight.values()) <= {0}
        assert set(bench.observer.depth.values()) <= {0}

    asyncio.run(main())


def test_a_device_that_dies_is_restarted_with_all_its_models() -> None:
    async def test(bench: Bench) -> None:
        layout, image = bench.models
        answers = await asyncio.gather(layout.ask(KILLS), image.ask(1.0), return_exceptions=True)
        assert isinstance(answers[0], EngineDiedError)
        await bench.until_up()
        assert await asyncio.gather(layout.ask(1.0), image.ask(2.0)) == [2.0, 3.0]
        assert (layout.loads, image.loads) == (1, 1)
        assert bench.states == ["down", "up"]
        assert bench.restarts == ["died"]
        assert len(set(layout.threads)) == 2

    serve(test)


def test_an_engine_that_dies_is_reloaded_while_the_others_answer() -> None:
    async def test(bench: Bench) -> None:
        layout, image = bench.models
        with pytest.raises(EngineDiedError, match="the card is gone"):
            await layout.ask(DIES)
        assert await image.ask(1.0) == 2.0
        await bench.until_up()
        assert await layout.ask(1.0) == 2.0
        assert (layout.loads, image.loads) == (1, 0)
        assert len(set(layout.threads + image.threads)) == 1

    serve(test)


def test_a_turn_that_hangs_fails_everything_and_its_late_answer_is_dropped() -> None:
    async def test(bench: Bench) -> None:
        layout, image = bench.models
        hung = [asyncio.create_task(layout.ask(HANGS)), asyncio.create_task(layout.ask(1.0))]
        await asyncio.to_thread(layout.hanging.wait)
        hung += [asyncio.create_task(layout.ask(2.0)), asyncio.create_task(image.ask(3.0))]
        ends = await asyncio.gather(*hung, return_exceptions=True)
        assert all(isinstance(end, EngineDiedError) and "no answer for" in end.reason for end in ends)
        await bench.until_up()
        assert bench.restarts == ["hung"]
        assert layout.batcher.engine_in_use  # by the thread that was given up
        assert await asyncio.gather(layout.ask(4.0), image.ask(5.0)) == [5.0, 6.0]
        sizes = list(bench.observer.sizes["layout"])
        layout.go_on.set()
        await eventually(lambda: not layout.batcher.engine_in_use)
        assert await layout.ask(6.0) == 7.0
        assert bench.observer.sizes["layout"] == [*sizes, 1]

    serve(test)


def test_while_engines_are_down_work_is_refused_with_a_time_to_come_back() -> None:
    async def test(bench: Bench) -> None:
        layout, image = bench.models
        image.fail_loads = 3
        await asyncio.gather(layout.ask(KILLS), return_exceptions=True)
        await eventually(lambda: layout.healthy)  # what is loaded again answers, though the other model is not yet
        with pytest.raises(EngineDiedError) as caught:
            await image.ask(1.0)
        assert caught.value.retry_after_seconds > 0.0
        assert await layout.ask(1.0) == 2.0
        await bench.until_up()
        assert await image.ask(1.0) == 2.0
        assert bench.restarts == ["died", "failed", "failed", "failed"]
        assert layout.loads == 1

    serve(test)


def test_engines_that_cannot_be_restarted_are_lost_until_they_can() -> None:
    async def test(bench: Bench) -> None:
        image = bench.models[1]
        image.fail_loads = module.FAILURES_TO_LOSE + 1
        await asyncio.gather(image.ask(DIES), return_exceptions=True)
        await eventually(lambda: "lost" in bench.states)
        await bench.until_up()
        assert bench.states == ["down", "lost", "up"]
        assert await image.ask(1.0) == 2.0

    serve(test)


def test_an_engine_that_dies_after_every_restart_is_lost() -> None:
    async def test(bench: Bench) -> None:
        image = bench.models[1]
        while "lost" not in bench.states:
            await asyncio.gather(image.ask(DIES), return_exceptions=True)
            await asyncio.sleep(0.005)
        assert bench.restarts.count("died") >= module.FAILURES_TO_LOSE
        assert "failed" not in bench.restarts

    serve(test)


def test_a_device_that_dies_while_it_is_restarted_is_restarted_again() -> None:
    async def test(bench: Bench) -> None:
        image = bench.models[1]
        deaths = iter([True, False])

        def load() -> None:
            if next(deaths, False):
                raise SystemExit("again")

        image._load = load  # type: ignore[method-assign]
        await asyncio.gather(image.ask(KILLS), return_exceptions=True)
        await bench.until_up()
        assert await asyncio.gather(*(model.ask(1.0) for model in bench.models)) == [2.0, 2.0]
        assert bench.restarts == ["died", "failed"]

    serve(test)


def test_a_device_that_hangs_while_it_drains_does_not_hold_the_drain_up() -> None:
    async def test(bench: Bench) -> None:
        layout = bench.models[0]
        hung = asyncio.create_task(layout.ask(HANGS))
        await asyncio.to_thread(layout.hanging.wait)
        await asyncio.wait_for(layout.batcher.drain(), 20)
        with pytest.raises(EngineDiedError):
            await hung
        await bench.until_up()
        with pytest.raises(DrainingError):
            await layout.ask(1.0)

    serve(test)


def test_a_model_that_hangs_while_it_is_closed_fails_its_callers_and_is_closed() -> None:
    async def test(bench: Bench) -> None:
        layout, image = bench.models
        hung = asyncio.create_task(layout.ask(HANGS))
        await asyncio.to_thread(layout.hanging.wait)
        await asyncio.wait_for(layout.batcher.close(), 20)
        with pytest.raises(EngineDiedError):
            await hung
        await bench.until_up()
        assert await image.ask(1.0) == 2.0

    serve(test)


def test_a_device_that_hangs_does_not_hold_up_its_end() -> None:
    async def main() -> None:
        executor, go = DeviceExecutor("test", 0.05), threading.Event()
        batcher = Batcher(
            lambda inputs: {"y": inputs["x"]} if go.wait(20) else {},
            executor,
            max_batch_size=1,
            limits=QueueLimits(items=8),
            name="model",
        )
        hung = asyncio.create_task(batcher.submit({"x": np.zeros(1)}))
        await eventually(lambda: batcher.engine_in_use)
        await asyncio.wait_for(executor.close(), 20)
        with pytest.raises(EngineDiedError):
            await hung
        go.set()

    asyncio.run(main())


@asynccontextmanager
async def unsupervised(hang_seconds: float) -> AsyncIterator[DeviceExecutor]:
    executor = DeviceExecutor("test", hang_seconds)
    try:
        yield executor
    finally:
        await executor.close()


def test_loading_an_engine_may_take_longer_than_a_batch() -> None:
    async def main() -> None:
        async with unsupervised(0.5) as executor:
            go, started = threading.Event(), threading.Event()

            def load() -> bool:
                started.set()
                return go.wait(20)

            loading = asyncio.create_task(executor.run(load))
            await asyncio.to_thread(started.wait)
            await asyncio.sleep(0.6)
            executor.give_up_hung_turn()
            assert executor.healthy
            go.set()
            assert await loading

    asyncio.run(main())


def test_a_job_that_hangs_fails_and_the_next_thread_does_the_rest() -> None:
    async def main() -> None:
        async with unsupervised(0.005) as executor:
            go, started = threading.Event(), threading.Event()

            def load() -> bool:
                started.set()
                return go.wait(20)

            loading = asyncio.create_task(executor.run(load))
            await asyncio.to_thread(started.wait)
            await asyncio.sleep(0.2)
            executor.give_up_hung_turn()
            with pytest.raises(EngineDiedError, match="no answer"):
                await loading
            assert executor.cause_of_death == "hung"
            executor.restart()
            go.set()
            assert executor.cause_of_death is None
            assert await executor.run(lambda: "alive") == "alive"

    asyncio.run(main())
