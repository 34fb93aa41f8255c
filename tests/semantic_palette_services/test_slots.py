"""Slots: interactive work goes first, and each priority keeps a quarter for itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from grpc_helpers import asynchronous

from semantic_palette.priority import Priority
from semantic_palette_services.slots import Slots, current_priority, work_as

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK


class Bench:
    """Takes slots, and notes down in which order they were given."""

    def __init__(self, total: int) -> None:
        self.slots = Slots(total)
        self.given: list[str] = []
        self.ends: list[asyncio.Event] = []

    async def hold(self, name: str, priority: Priority, end: asyncio.Event) -> None:
        async with self.slots.slot(priority):
            self.given.append(name)
            await end.wait()

    async def start(self, name: str, priority: Priority) -> tuple[asyncio.Task[None], asyncio.Event]:
        end = asyncio.Event()
        task = asyncio.create_task(self.hold(name, priority, end))
        await self.settle()
        return task, end

    async def settle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.mark.parametrize(("priority", "other"), [(BULK, INTERACTIVE), (INTERACTIVE, BULK)])
@asynchronous
async def test_one_priority_leaves_a_quarter_to_the_other(priority: Priority, other: Priority) -> None:
    slots = Slots(8)
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(slots.slot(priority))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slots.slot(priority).__aenter__(), 0.01)
        for _ in range(2):
            await asyncio.wait_for(stack.enter_async_context(slots.slot(other)), 5)


@asynchronous
async def test_interactive_pairs_go_before_bulk_pairs_that_wait_for_longer() -> None:
    bench = Bench(2)
    bulk = [await bench.start(f"bulk {number}", BULK) for number in range(3)]
    running = [await bench.start(f"interactive {number}", INTERACTIVE) for number in range(2)]
    assert bench.given == ["bulk 0", "bulk 1"]
    bulk[0][1].set()
    await bench.settle()
    assert bench.given[2:] == ["interactive 0"]
    for _, end in bulk + running:
        end.set()
    await asyncio.gather(*(task for task, _ in bulk + running))
    assert sorted(bench.given[3:]) == ["bulk 2", "interactive 1"]


@asynchronous
async def test_a_slot_given_to_a_pair_that_gives_up_goes_to_the_next() -> None:
    bench = Bench(1)
    first, second, third = [await bench.start(str(number), BULK) for number in range(3)]
    first[1].set()
    await asyncio.sleep(0)
    second[0].cancel()
    third[1].set()
    await asyncio.wait_for(asyncio.gather(first[0], third[0]), 5)
    with pytest.raises(asyncio.CancelledError):
        await second[0]
    last = await bench.start("last", BULK)
    last[1].set()
    await asyncio.wait_for(last[0], 5)


@asynchronous
async def test_interactive_work_that_never_ends_leaves_every_tenth_slot_to_bulk_work() -> None:
    bench = Bench(1)
    first = await bench.start("first", INTERACTIVE)
    waiting = [await bench.start(f"bulk {number}", BULK) for number in range(3)]
    waiting += [await bench.start(f"interactive {number}", INTERACTIVE) for number in range(40)]
    for _, end in [first, *waiting]:
        end.set()
    await asyncio.gather(first[0], *(task for task, _ in waiting))
    places = [place for place, name in enumerate(bench.given) if name.startswith("bulk")]
    assert places == [9, 19, 29]


@asynchronous
async def test_a_slot_that_comes_while_a_pair_gives_up_goes_to_the_next() -> None:
    bench = Bench(1)
    first, second, third = [await bench.start(str(number), BULK) for number in range(3)]
    second[0].cancel()  # in the same pass of the loop in which the first ends
    first[0].cancel()
    third[1].set()
    ends = await asyncio.wait_for(asyncio.gather(first[0], second[0], third[0], return_exceptions=True), 5)
    assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]


@asynchronous
async def test_what_is_said_of_a_task_holds_for_the_tasks_that_it_starts() -> None:
    async def inner() -> Priority:
        return current_priority()

    async def bulk() -> list[Priority]:
        work_as(BULK)
        return [current_priority(), *await asyncio.gather(inner(), asyncio.create_task(inner()))]

    assert await asyncio.create_task(bulk()) == [BULK] * 3
    assert current_priority() is INTERACTIVE


@asynchronous
async def test_a_pair_that_gives_up_waiting_leaves_the_line() -> None:
    bench = Bench(1)
    first, second = [await bench.start(str(number), BULK) for number in range(2)]
    second[0].cancel()
    first[1].set()
    await asyncio.wait([first[0], second[0]])
    last = await bench.start("last", INTERACTIVE)
    assert bench.given == ["0", "last"]
    last[1].set()
    await last[0]
