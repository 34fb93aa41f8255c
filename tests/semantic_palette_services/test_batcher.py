"""What the batcher promises, one behaviour a test. The engine is a function; the device thread is real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from recording_observer import RecordingObserver

from semantic_palette.priority import Priority
from semantic_palette_services.runtime import batch_time
from semantic_palette_services.runtime.admission import QueueLimits
from semantic_palette_services.runtime.batcher import Batcher
from semantic_palette_services.runtime.errors import (
    DeadlineExpiredError,
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    EngineOutputError,
    InferenceError,
    QueueFullError,
    WaitTooLongError,
)
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays

POISON = -1.0
LIMITS = QueueLimits(items=64)


class FakeEngine:
    """Adds 1 to ``x``; can be held in the middle of a run, and fails on `POISON`."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        x = inputs["x"]
        self.batches.append([float(row.flat[0]) for row in x])
        self.started.release()
        assert self.go.wait(20)
        if (x == POISON).any():
            raise ValueError("poison in the batch")
        return {"y": x + 1}

    @asynccontextmanager
    async def held(self, submit: Callable[[], Awaitable[Any]]) -> AsyncIterator[asyncio.Future[Any]]:
        """Within the block the engine is busy with what ``submit`` submitted."""
        self.go.clear()
        task = asyncio.ensure_future(submit())
        await asyncio.to_thread(self.started.acquire)
        try:
            yield task
        finally:
            self.go.set()


class Bench:
    """A batcher around a fake engine, and what it told its observer."""

    def __init__(self, **options: Any) -> None:
        self.engine = FakeEngine()
        self.observer = RecordingObserver()
        self.executor = DeviceExecutor("test")
        self.batcher = self.add("model", self.engine, **options)

    def add(self, name: str, engine: FakeEngine, **options: Any) -> Batcher:
        defaults: dict[str, Any] = {"max_batch_size": 8, "limits": LIMITS, "observer": self.observer}
        return Batcher(engine.run, self.executor, name=name, **(defaults | options))

    async def submit(self, value: float, *, width: int = 1, **options: Any) -> NDArray[Any]:
        answer = await self.batcher.submit({"x": np.full(width, value)}, **options)
        return answer["y"]

    async def submit_bulk(self, value: float) -> NDArray[Any]:
        with self.batcher.reserve(1, Priority.BULK) as room:
            return await self.submit(value, room=room)

    def later(self, value: float, **options: Any) -> asyncio.Task[NDArray[Any]]:
        return asyncio.create_task(self.submit(value, **options))


def serve(test: Callable[[Bench], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a test in an event loop, with a batcher that is closed afterwards.

    The gauges must be back at 0, and no callback of the loop may have failed: that is where answers are given out.
    """

    async def main() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        bench = Bench(**options)
        try:
            await asyncio.wait_for(test(bench), 30)
        finally:
            bench.engine.go.set()
            await bench.batcher.close()
            await bench.executor.close()
        assert failures == []
        assert set(bench.observer.in_flight.values()) <= {0}
        assert set(bench.observer.depth.values()) <= {0}

    asyncio.run(main())


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_lone_item_is_answered_without_company() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.submit(3.0)).tolist() == [4.0]
        assert bench.observer.sizes["model"] == [1]

    serve(test)


def test_items_submitted_together_share_batches_and_get_their_own_rows() -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.submit(float(i)) for i in range(20)))
        assert [answer.tolist() for answer in answers] == [[i + 1.0] for i in range(20)]
        assert bench.observer.sizes["model"] == [8, 8, 4]

    serve(test)


def test_what_arrives_while_the_device_is_busy_is_in_the_next_batch() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as first:
            rest = [bench.later(float(i)) for i in range(1, 4)]
            await settle()
            rest.append(bench.later(4.0))
            await settle()
        await asyncio.gather(first, *rest)
        assert bench.engine.batches == [[0.0], [1.0, 2.0, 3.0, 4.0]]

    serve(test)


def test_a_batch_is_not_frozen_while_another_model_has_the_device() -> None:
    async def test(bench: Bench) -> None:
        other_engine = FakeEngine()
        other = bench.add("other", other_engine)
        async with other_engine.held(lambda: other.submit({"x": np.zeros(1)})) as busy:
            early = bench.later(1.0)
            await settle()
            late = bench.later(2.0)
            await settle()
            assert bench.engine.batches == []
        await asyncio.gather(busy, early, late)
        assert bench.engine.batches == [[1.0, 2.0]]
        await other.close()

    serve(test)


def test_a_busy_model_leaves_every_second_turn_to_another() -> None:
    async def test(bench: Bench) -> None:
        order: list[str] = []
        names = ("greedy", "modest")
        batchers = [
            Batcher(
                lambda inputs, n=name: order.append(n) or {"y": inputs["x"]},
                bench.executor,
                max_batch_size=1,
                limits=LIMITS,
                name=name,
            )
            for name in names
        ]
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            tasks = [asyncio.create_task(batchers[0].submit({"x": np.zeros(1)})) for _ in range(20)]
            tasks += [asyncio.create_task(batchers[1].submit({"x": np.zeros(1)})) for _ in range(3)]
            await settle()
        await asyncio.gather(busy, *tasks)
        assert order[:6] == ["greedy", "modest"] * 3
        for batcher in batchers:
            await batcher.close()

    serve(test)


def test_shapes_are_not_mixed() -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.submit(float(i), width=1 + i % 2) for i in range(6)))
        assert [len(answer) for answer in answers] == [1, 2] * 3
        assert sorted(bench.engine.batches) == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]

    serve(test)


def test_deterministic_items_run_alone() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.gather(*(bench.submit(float(i), deterministic=i < 3) for i in range(6)))
        assert sorted(bench.engine.batches) == [[0.0], [1.0], [2.0], [3.0, 4.0, 5.0]]

    serve(test)


def test_the_earliest_deadline_goes_first() -> None:
    async def test(bench: Bench) -> None:
        now = asyncio.get_running_loop().time()
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            deadlines = {1.0: None, 2.0: now + 3.0, 3.0: now + 2.0}
            tasks = [bench.later(value, deadline=deadline) for value, deadline in deadlines.items()]
            await settle()
        await asyncio.gather(busy, *tasks)
        assert bench.engine.batches == [[0.0], [3.0], [2.0], [1.0]]

    serve(test, max_batch_size=1)


def test_a_cancelled_item_is_not_run_and_its_batch_mates_are() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            tasks = [bench.later(float(i)) for i in range(1, 5)]
            await settle()
            tasks[1].cancel()
            await settle()
            assert bench.observer.depth["model"] == 3
        answers = await asyncio.gather(busy, *tasks, return_exceptions=True)
        assert isinstance(answers[2], asyncio.CancelledError)
        assert bench.engine.batches == [[0.0], [1.0, 3.0, 4.0]]
        assert bench.observer.cancels == [("model", "queued")]

    serve(test)


def test_an_item_cancelled_while_it_runs_leaves_its_batch_mates_alone() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: asyncio.gather(*tasks_of(bench), return_exceptions=True)) as running:
            tasks[0].cancel()
            await settle()
        answers = await running
        assert isinstance(answers[0], asyncio.CancelledError)
        assert [answer.tolist() for answer in answers[1:]] == [[1.0], [2.0]]
        assert bench.observer.cancels == [("model", "running")]

    tasks: list[asyncio.Task[NDArray[Any]]] = []

    def tasks_of(bench: Bench) -> list[asyncio.Task[NDArray[Any]]]:
        tasks.extend(bench.later(float(value)) for value in (9, 0, 1))
        return tasks

    serve(test)


def test_the_error_of_an_item_whose_caller_has_gone_is_dropped() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(POISON)) as running:
            running.cancel()
            await settle()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await bench.submit(1.0)).tolist() == [2.0]

    serve(test)


def test_an_item_whose_deadline_passes_in_the_queue_is_not_run() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            soon = asyncio.get_running_loop().time() + 0.02
            tasks = [bench.later(1.0, deadline=soon), bench.later(2.0)]
            await asyncio.sleep(0.05)
        with pytest.raises(DeadlineExpiredError) as caught:
            await tasks[0]
        assert caught.value.left_seconds < 0.0
        await asyncio.gather(busy, tasks[1])
        assert bench.engine.batches == [[0.0], [2.0]]
        assert bench.observer.sheds == [("model", "deadline")]

    serve(test)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            tasks = [bench.later(float(i)) for i in (1, 2)]
            await settle()
            with pytest.raises(QueueFullError, match=r"2 items are queued") as caught:
                await bench.submit(3.0)
            # The engine was said to take 2 s for up to 8: the batch that runs, and the one that waits.
            assert caught.value.retry_after_seconds == pytest.approx(4.0, abs=0.5)
            tasks[0].cancel()
            await settle()
            tasks.append(bench.later(4.0))
            await settle()
        await asyncio.gather(busy, *tasks, return_exceptions=True)
        assert bench.engine.batches == [[0.0], [2.0, 4.0]]
        assert bench.observer.sheds == [("model", "queue_full")]

    serve(test, limits=QueueLimits(items=2), measured_seconds={1: 2.0, 8: 2.0})


def test_reserved_room_is_refused_as_a_whole_and_nobody_else_gets_it() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            with bench.batcher.reserve(3) as room:
                with pytest.raises(QueueFullError), bench.batcher.reserve(2):
                    raise AssertionError("there was room for one more only")
                other = bench.later(4.0)
                await settle()
                with pytest.raises(QueueFullError):
                    await bench.submit(5.0)
                mine = [bench.later(float(i), room=room) for i in (1, 2)]
                await settle()
                assert room.left == 1
            late = bench.later(6.0)
            await settle()
        answers = await asyncio.gather(busy, other, *mine, late)
        assert [answer.tolist() for answer in answers] == [[1.0], [5.0], [2.0], [3.0], [7.0]]

    serve(test, limits=QueueLimits(items=4))


def test_interactive_items_overtake_bulk_ones_that_wait() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            bulk = [asyncio.create_task(bench.submit_bulk(float(i))) for i in range(1, 4)]
            await settle()
            interactive = bench.later(9.0)
            await settle()
        await asyncio.gather(busy, interactive, *bulk)
        assert bench.engine.batches == [[0.0], [9.0], [1.0, 2.0], [3.0]]

    serve(test, max_batch_size=2, measured_seconds={1: 1.0, 2: 2.0})


def test_bulk_items_ride_along_where_a_larger_batch_is_not_known_to_take_longer() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            bulk = [asyncio.create_task(bench.submit_bulk(float(i))) for i in range(1, 4)]
            interactive = bench.later(9.0)
            await settle()
        await asyncio.gather(busy, interactive, *bulk)
        # Batches of one size have been seen alone, so a larger one is not known to take longer.
        assert bench.engine.batches == [[0.0], [9.0, 1.0, 2.0, 3.0]]

    serve(test)


def test_an_interactive_item_of_one_model_goes_before_bulk_batches_of_another() -> None:
    async def test(bench: Bench) -> None:
        other_engine = FakeEngine()
        other_engine.batches = bench.engine.batches
        other = bench.add("other", other_engine, max_batch_size=1)
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            bulk = [asyncio.create_task(bench.submit_bulk(float(i))) for i in range(1, 5)]
            await settle()
            interactive = asyncio.create_task(other.submit({"x": np.full(1, 9.0)}))
            await settle()
        await asyncio.gather(busy, interactive, *bulk)
        assert bench.engine.batches == [[0.0], [9.0], [1.0], [2.0], [3.0], [4.0]]
        await other.close()

    serve(test, max_batch_size=1)


def test_what_would_wait_too_long_is_refused_and_bulk_items_are_not_counted_for_interactive_ones() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            bulk = [asyncio.create_task(bench.submit_bulk(float(i))) for i in range(1, 9)]
            await settle()
            patient = bench.later(9.0)  # 5 s are left of what runs, and no bulk item is before it
            await settle()
            with pytest.raises(WaitTooLongError) as caught:
                await bench.submit(10.0)
            assert caught.value.wait_seconds == pytest.approx(10.0, abs=0.5)
        await asyncio.gather(busy, patient, *bulk)
        assert bench.observer.sheds == [("model", "wait")]

    serve(test, max_batch_size=1, limits=QueueLimits(items=64, seconds=7.0), measured_seconds={1: 5.0})


def test_an_answer_does_not_keep_its_whole_batch_in_memory() -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.submit(float(i)) for i in range(8)))
        assert all(answer.base is None for answer in answers)

    serve(test)


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    async def test(bench: Bench) -> None:
        now = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineUnmetError) as caught:
            await bench.submit(1.0, deadline=now + 0.5)
        assert not isinstance(caught.value, DeadlineExpiredError)
        assert caught.value.needed_seconds == pytest.approx(1.0)
        assert caught.value.left_seconds <= 0.5
        assert (await bench.submit(2.0, deadline=now + 5.0)).tolist() == [3.0]
        assert bench.engine.batches == [[2.0]]

    serve(test, measured_seconds={1: 1.0})


def test_an_estimate_that_is_wrong_does_not_refuse_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_time, "STALE_SECONDS", 0.1)

    async def test(bench: Bench) -> None:
        async def call() -> float:
            return float((await bench.submit(1.0, deadline=asyncio.get_running_loop().time() + 20.0))[0])

        with pytest.raises(DeadlineUnmetError):
            await call()
        answers = 0
        # One try in a while is enough: what it takes is soon known better than what was measured at the start.
        while answers < 100:
            try:
                assert await call() == 2.0
            except DeadlineUnmetError:
                await asyncio.sleep(0.05)
            else:
                answers += 1

    serve(test, measured_seconds={1: 30.0})


def test_admission_counts_what_is_ahead_on_the_device() -> None:
    async def test(bench: Bench) -> None:
        other_engine = FakeEngine()
        other = bench.add("other", other_engine, measured_seconds={1: 3.0})
        async with other_engine.held(lambda: other.submit({"x": np.zeros(1)})) as busy:
            with pytest.raises(DeadlineUnmetError) as caught:
                await bench.submit(1.0, deadline=asyncio.get_running_loop().time() + 2.0)
            assert caught.value.needed_seconds == pytest.approx(4.0, abs=0.5)
        await busy
        await other.close()

    serve(test, measured_seconds={1: 1.0})


def test_admission_counts_those_who_will_come_behind() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            waiting = [bench.later(float(i)) for i in range(1, 4)]
            await settle()
            now = asyncio.get_running_loop().time()
            # 100 s are left of what runs. With the three that wait a fourth would be answered after 500 s; with three
            # more behind it, after 800 s.
            with pytest.raises(DeadlineUnmetError) as caught:
                await bench.submit(4.0, deadline=now + 650.0)
            assert caught.value.needed_seconds == pytest.approx(1.1 * (100 + 300) + (700 - 300), abs=50)
            waiting.append(bench.later(5.0, deadline=now + 900.0))
            await settle()
        await asyncio.gather(busy, *waiting)

    serve(test, measured_seconds={1: 100.0, 8: 800.0})


def test_an_answer_that_is_expected_just_in_time_is_not_begun() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            waiting = [bench.later(1.0)]
            await settle()
            now = asyncio.get_running_loop().time()
            with pytest.raises(DeadlineUnmetError):
                await bench.submit(2.0, deadline=now + 305.0)
            waiting.append(bench.later(3.0, deadline=now + 325.0))
            await settle()
        await asyncio.gather(busy, *waiting)

    serve(test, max_batch_size=1, measured_seconds={1: 100.0})


def test_only_the_item_that_fails_alone_gets_the_error() -> None:
    async def test(bench: Bench) -> None:
        values = [0.0, 1.0, POISON, 3.0]
        answers = await asyncio.gather(*(bench.submit(value) for value in values), return_exceptions=True)
        assert [answers[i].tolist() for i in (0, 1, 3)] == [[1.0], [2.0], [4.0]]
        assert isinstance(answers[2], InferenceError)
        assert "poison in the batch" in answers[2].reason
        assert isinstance(answers[2].__cause__, ValueError)
        assert bench.engine.batches == [values, [0.0], [1.0], [POISON], [3.0]]
        assert bench.observer.failures == {"model": 2}
        assert bench.observer.sizes["model"] == [1, 1, 1]
        assert bench.batcher.healthy
        assert (await bench.submit(5.0)).tolist() == [6.0]

    serve(test)


def test_a_device_that_is_given_up_while_a_batch_fails_strands_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(bench: Bench) -> None:
        source = bench.batcher._source
        post = source._post

        def post_and_give_up(callback: Callable[..., None], *args: object) -> None:
            post(callback, *args)
            if callback == bench.batcher.batch_failed:
                end = threading.Thread(target=source.abandon, args=(EngineDiedError("test", "no answer"),))
                end.start()
                end.join(0.1)

        monkeypatch.setattr(source, "_post", post_and_give_up)
        ends = await asyncio.gather(bench.submit(1.0), bench.submit(POISON), return_exceptions=True)
        # The poison fails with the engine or alone, whichever comes first; the other may have been answered before.
        assert isinstance(ends[0], np.ndarray | EngineDiedError)
        assert isinstance(ends[1], InferenceError | EngineDiedError)

    serve(test)


def test_a_thread_that_is_given_up_before_it_has_begun_takes_nothing_from_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(bench: Bench) -> None:
        source, held, go_on = bench.batcher._source, threading.Event(), threading.Event()
        run_turn, late = source.run_turn, iter([True])

        def run_late(lead: Priority) -> None:
            if next(late, False):
                held.set()
                go_on.wait(20)
            run_turn(lead)
            ended.release()

        ended = threading.Semaphore(0)
        monkeypatch.setattr(source, "run_turn", run_late)
        first = bench.later(1.0)
        await asyncio.to_thread(held.wait)
        monkeypatch.setattr(bench.executor, "_hang_seconds", 0.0)
        bench.executor.give_up_hung_turn()
        with pytest.raises(EngineDiedError):
            await first
        bench.executor.restart()
        bench.batcher.revive()
        async with bench.engine.held(lambda: bench.submit(2.0)) as running:
            waiting = bench.later(3.0)
            await settle()
            go_on.set()
            await asyncio.to_thread(ended.acquire)
            assert not waiting.done()
        assert [answer.tolist() for answer in await asyncio.gather(running, waiting)] == [[3.0], [4.0]]

    serve(test)


def test_an_engine_that_answers_for_too_few_items_is_caught() -> None:
    async def test(bench: Bench) -> None:
        broken = Batcher(
            lambda inputs: {"y": inputs["x"][:0]}, bench.executor, max_batch_size=8, limits=LIMITS, name="broken"
        )
        with pytest.raises(EngineOutputError, match=r"shape \(0, 1\) for a batch of 1"):
            await broken.submit({"x": np.zeros(1)})
        await broken.close()

    serve(test)


def test_a_dead_engine_fails_everything_and_is_told() -> None:
    async def test(bench: Bench) -> None:
        def die(inputs: Arrays) -> dict[str, NDArray[Any]]:
            raise EngineDiedError("model", "the card is gone")

        mortal = Batcher(die, bench.executor, max_batch_size=2, limits=LIMITS, name="mortal")
        answers = await asyncio.gather(*(mortal.submit({"x": np.zeros(1)}) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(answer, EngineDiedError) for answer in answers)
        assert len({id(answer) for answer in answers}) == 5
        assert not mortal.healthy
        with pytest.raises(EngineDiedError, match="the card is gone"):
            await mortal.submit({"x": np.zeros(1)})
        assert bench.batcher.healthy
        assert (await bench.submit(1.0)).tolist() == [2.0]
        await mortal.close()

    serve(test)


def test_a_dead_device_fails_every_model_on_it() -> None:
    async def test(bench: Bench) -> None:
        def exit_thread(inputs: Arrays) -> dict[str, NDArray[Any]]:
            raise SystemExit("stack overflow")

        other = Batcher(exit_thread, bench.executor, max_batch_size=2, limits=LIMITS, name="other")
        answers = await asyncio.gather(other.submit({"x": np.zeros(1)}), bench.submit(1.0), return_exceptions=True)
        assert all(isinstance(answer, EngineDiedError) for answer in answers)
        assert not other.healthy
        assert not bench.batcher.healthy
        with pytest.raises(EngineDiedError):
            await bench.submit(1.0)
        await other.close()

    serve(test)


def test_draining_finishes_what_was_accepted_and_accepts_nothing_more() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            waiting = bench.later(1.0)
            await settle()
            drained = asyncio.create_task(bench.batcher.drain())
            await settle()
            with pytest.raises(DrainingError):
                await bench.submit(2.0)
            assert not drained.done()
        await drained
        assert [(await busy).tolist(), (await waiting).tolist()] == [[1.0], [2.0]]
        assert bench.observer.sheds == [("model", "drain")]

    serve(test)


def test_closing_fails_what_waits_and_finishes_what_runs() -> None:
    async def test(bench: Bench) -> None:
        async with bench.engine.held(lambda: bench.submit(0.0)) as busy:
            waiting = bench.later(1.0)
            await settle()
            closed = asyncio.create_task(bench.batcher.close())
            with pytest.raises(DrainingError):
                await waiting
            await settle()
            assert not closed.done()
        await closed
        assert (await busy).tolist() == [1.0]
        assert bench.engine.batches == [[0.0]]

    serve(test)


def test_items_of_a_failed_batch_are_not_stranded_by_closing() -> None:
    async def test(bench: Bench) -> None:
        pair = [bench.later(POISON), bench.later(1.0)]
        async with bench.engine.held(lambda: asyncio.gather(*pair, return_exceptions=True)) as running:
            closed = asyncio.create_task(bench.batcher.close())
            await settle()
        await closed
        assert [type(answer) for answer in await running] == [DrainingError, DrainingError]

    serve(test)


def test_a_loop_that_ends_without_closing_the_batcher_leaves_the_device_alive() -> None:
    engine = FakeEngine()
    engine.go.clear()

    async def careless() -> DeviceExecutor:
        executor = DeviceExecutor("test")
        batcher = Batcher(engine.run, executor, max_batch_size=1, limits=LIMITS, name="model")
        task = asyncio.create_task(batcher.submit({"x": np.zeros(1)}))
        await asyncio.to_thread(engine.started.acquire)
        assert not task.done()
        return executor

    async def careful(executor: DeviceExecutor) -> str:
        answer = await executor.run(lambda: "alive")
        await executor.close()
        return answer

    executor = asyncio.run(careless())
    engine.go.set()
    assert asyncio.run(careful(executor)) == "alive"
