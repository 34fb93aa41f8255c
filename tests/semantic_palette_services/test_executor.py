"""The device thread: one-off jobs, turns, and its end."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from grpc_helpers import eventually

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.errors import EngineDiedError
from semantic_palette_services.runtime.executor import DeviceExecutor


class CountingSource:
    """Wants a number of turns and notes them down."""

    def __init__(self, name: str, turns: int, log: list[str], priority: Priority = Priority.INTERACTIVE) -> None:
        self.name, self.turns, self.log, self.priority = name, turns, log, priority
        self.abandoned: EngineDiedError | None = None

    def run_turn(self, lead: Priority) -> None:
        self.turns -= 1
        self.log.append(self.name)

    def has_work(self, priority: Priority) -> bool:
        return priority is self.priority and self.turns > 0

    def predict_seconds(self, turns: float, priority: Priority) -> float:
        return float(min(turns, self.turns)) if priority is self.priority else 0.0

    def running_seconds_left(self) -> float:
        return 0.25

    def abandon(self, error: EngineDiedError) -> None:
        self.abandoned = error


def with_executor(test: Callable[[DeviceExecutor], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        executor = DeviceExecutor("test")
        try:
            await asyncio.wait_for(test(executor), 20)
        finally:
            await executor.close()

    asyncio.run(main())


async def hold(executor: DeviceExecutor) -> tuple[asyncio.Task[bool], threading.Event]:
    """Occupy the device until the event is set."""
    started, go = threading.Event(), threading.Event()

    def job() -> bool:
        started.set()
        return go.wait(20)

    task = asyncio.create_task(executor.run(job))
    await asyncio.to_thread(started.wait)
    return task, go


def test_jobs_run_in_one_thread_that_is_not_the_event_loops() -> None:
    async def test(executor: DeviceExecutor) -> None:
        threads = await asyncio.gather(*(executor.run(threading.get_ident) for _ in range(5)))
        assert len(set(threads)) == 1
        assert threads[0] != threading.get_ident()

    with_executor(test)


def test_an_error_of_a_job_goes_to_its_caller_and_the_device_goes_on() -> None:
    async def test(executor: DeviceExecutor) -> None:
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 // 0)
        assert await executor.run(lambda: "alive") == "alive"

    with_executor(test)


def test_sources_take_turns_whatever_their_load() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        log: list[str] = []
        sources = [CountingSource("a", 6, log), CountingSource("b", 2, log), CountingSource("c", 3, log)]
        for source in sources:
            executor.register(source)
            executor.announce(source)
            executor.announce(source)
        go.set()
        await busy
        while len(log) < 11:
            await asyncio.sleep(0.001)
        assert "".join(log) == "abcabcacaaa"

    with_executor(test)


def test_the_wait_for_others_counts_as_many_of_their_turns_as_ones_own() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        mine, other = CountingSource("mine", 9, []), CountingSource("other", 3, [])
        for source in (mine, other):
            executor.register(source)
            executor.announce(source)
        assert executor.expected_wait(mine, 2, Priority.INTERACTIVE) == 2.0
        assert executor.expected_wait(mine, 5, Priority.INTERACTIVE) == 3.0
        go.set()
        await busy

    with_executor(test)


def test_a_job_whose_caller_has_gone_is_not_run() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        ran: list[bool] = []
        abandoned = asyncio.create_task(executor.run(lambda: ran.append(True)))
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.sleep(0)
        go.set()
        await busy
        await executor.run(lambda: None)
        assert ran == []

    with_executor(test)


def test_an_unregistered_source_gets_no_turn() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        source = CountingSource("gone", 1, [])
        executor.register(source)
        executor.announce(source)
        await executor.unregister(source)
        executor.announce(source)
        go.set()
        await busy
        await executor.run(lambda: None)
        assert source.log == []

    with_executor(test)


def test_closing_fails_what_waits_and_what_comes_later() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        source = CountingSource("waiting", 1, [])
        executor.register(source)
        waiting = asyncio.create_task(executor.run(lambda: None))
        await asyncio.sleep(0)
        closing = asyncio.create_task(executor.close())
        await asyncio.sleep(0.01)
        go.set()
        assert await busy
        await closing
        with pytest.raises(EngineDiedError, match="closed"):
            await waiting
        with pytest.raises(EngineDiedError, match="closed"):
            await executor.run(lambda: None)
        assert source.abandoned is not None
        assert not executor.healthy

    with_executor(test)


def test_a_thread_that_dies_tells_everybody() -> None:
    async def test(executor: DeviceExecutor) -> None:
        source = CountingSource("bystander", 0, [])
        executor.register(source)

        def die() -> None:
            raise SystemExit("out of stack")

        with pytest.raises(EngineDiedError, match="SystemExit: out of stack"):
            await executor.run(die)
        with pytest.raises(EngineDiedError):
            await executor.run(lambda: None)
        assert not executor.healthy
        await eventually(lambda: source.abandoned is not None)  # one after the other is told

    with_executor(test)


def test_a_source_whose_work_nobody_has_announced_yet_is_not_passed_over() -> None:
    async def test(executor: DeviceExecutor) -> None:
        busy, go = await hold(executor)
        log: list[str] = []
        bulk = CountingSource("b", 3, log, Priority.BULK)
        for source in (bulk, CountingSource("i", 1, log)):
            executor.register(source)
        executor.announce(bulk)
        go.set()
        await busy
        await eventually(lambda: len(log) == 4)
        assert "".join(log) == "ibbb"

    with_executor(test)


def test_what_a_job_has_loaded_is_not_kept() -> None:
    async def test(executor: DeviceExecutor) -> None:
        loaded = await executor.run(set)
        left = weakref.ref(loaded)
        del loaded
        await eventually(lambda: not gc.collect() and left() is None)

    with_executor(test)


def test_a_device_that_gets_no_thread_is_dead_until_it_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise SystemExit("out of stack")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def test(executor: DeviceExecutor) -> None:
        with pytest.raises(EngineDiedError):
            await executor.run(die)
        await eventually(lambda: not executor.healthy)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                executor.restart()
        assert not executor.healthy
        executor.restart()
        assert await executor.run(lambda: "alive") == "alive"

    with_executor(test)


def test_the_longer_a_device_is_down_the_later_callers_shall_come_back() -> None:
    async def test(executor: DeviceExecutor) -> None:
        executor.mark_down(0.01)
        await asyncio.sleep(0.1)
        executor.mark_down(0.02)
        assert 0.1 <= executor.back_in_seconds < 30.0
        executor.mark_down(31.0)
        assert executor.back_in_seconds == 31.0
        executor.mark_up()
        assert executor.back_in_seconds == 1.0

    with_executor(test)
