"""Nothing blocks the event loop, nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from grpc_helpers import asynchronous, eventually

from semantic_palette.priority import Priority
from semantic_palette_services.concurrency import WorkerPool, gather_or_cancel
from semantic_palette_services.slots import work_as


@asynchronous
async def test_the_loop_runs_on_while_a_worker_works() -> None:
    pool = WorkerPool(1)
    started = time.perf_counter()
    job = asyncio.create_task(pool.run(time.sleep, 0.3))
    await asyncio.sleep(0.01)
    assert time.perf_counter() - started < 0.25
    await job
    pool.close()


@asynchronous
async def test_a_pool_runs_no_more_jobs_than_it_has_threads() -> None:
    pool = WorkerPool(2)
    running, most, lock = 0, 0, threading.Lock()

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(job) for _ in range(10)))
    assert most == 2
    pool.close()


@asynchronous
async def test_a_job_whose_caller_gave_up_in_line_is_never_run() -> None:
    pool = WorkerPool(1)
    hold, ran = threading.Event(), []
    first = asyncio.create_task(pool.run(hold.wait, 10))
    waiting = asyncio.create_task(pool.run(ran.append, "no"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.sleep(0)
    hold.set()
    await first
    await pool.run(ran.append, "yes")
    assert ran == ["yes"]
    pool.close()


@asynchronous
async def test_the_first_failure_is_raised_itself_and_cancels_the_others() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise KeyError("first")

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(KeyError, match="first"):
        await gather_or_cancel([wait(), fail(), wait()])
    assert ended == ["cancelled"] * 2


@asynchronous
async def test_cancelling_the_caller_cancels_all() -> None:
    started, ended = 0, 0

    async def wait() -> None:
        nonlocal started, ended
        started += 1
        try:
            await asyncio.sleep(60)
        finally:
            ended += 1

    gathering = asyncio.ensure_future(gather_or_cancel([wait(), wait(), wait()]))
    await eventually(lambda: started == 3)
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    assert ended == 3


@asynchronous
async def test_jobs_of_interactive_work_go_before_those_of_bulk_work() -> None:
    pool, go, done = WorkerPool(1), threading.Event(), []

    async def work(name: str, priority: Priority) -> None:
        work_as(priority)
        await pool.run(done.append, name)

    first = asyncio.create_task(pool.run(go.wait, 20))
    await asyncio.sleep(0)
    bulk = [asyncio.create_task(work(f"bulk {number}", Priority.BULK)) for number in range(2)]
    await asyncio.sleep(0)
    interactive = asyncio.create_task(work("interactive", Priority.INTERACTIVE))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, interactive, *bulk)
    assert done == ["interactive", "bulk 0", "bulk 1"]
    pool.close()


@asynchronous
async def test_items_are_worked_on_in_turn_and_answered_in_order() -> None:
    pool = WorkerPool(2)
    assert await pool.map(lambda number: number * number, range(20)) == [number * number for number in range(20)]
    assert await pool.map(lambda number: number, []) == []
    pool.close()


@asynchronous
async def test_what_is_left_of_the_items_of_a_caller_who_gives_up_is_not_worked_on() -> None:
    pool, started, go = WorkerPool(1), threading.Event(), threading.Event()
    worked: list[int] = []

    def work(number: int) -> None:
        started.set()
        assert go.wait(20)
        worked.append(number)

    task = asyncio.create_task(pool.map(work, range(100)))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await pool.run(lambda: None)
    assert len(worked) < 20
    pool.close()
