"""Streams: many requests at a time, answers in order, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from grpc_helpers import asynchronous, eventually

from semantic_palette_services.openinference.ordered_answers import answer_in_order


class Stream:
    """Both ends of a stream of numbers; a request is answered with its square once it is let go."""

    def __init__(self, window: int = 4, max_weight: int = 1000) -> None:
        self.requests: asyncio.Queue[int | None] = asyncio.Queue()
        self.stopping = asyncio.Event()
        self.window = window
        self.max_weight = max_weight
        self.begun: list[int] = []
        self.written: list[int] = []
        self.go: dict[int, asyncio.Event] = {}
        self.writable = asyncio.Event()
        self.writable.set()

    async def answer(self, request: int) -> int:
        self.begun.append(request)
        await self.go.setdefault(request, asyncio.Event()).wait()
        return request**2

    async def write(self, answer: int) -> None:
        await self.writable.wait()
        self.written.append(answer)

    def ask(self, *requests: int | None) -> None:
        for request in requests:
            self.requests.put_nowait(request)

    def let_go(self, *requests: int) -> None:
        for request in requests:
            self.go.setdefault(request, asyncio.Event()).set()

    async def run(self) -> bool:
        read: Callable[[], object] = self.requests.get
        return await answer_in_order(
            read,  # type: ignore[arg-type]
            self.answer,
            self.write,
            weigh=abs,
            window=self.window,
            max_weight=self.max_weight,
            stopping=self.stopping,
        )


@asynchronous
async def test_answers_keep_the_order_of_the_requests_whichever_is_done_first() -> None:
    stream = Stream()
    running = asyncio.create_task(stream.run())
    stream.ask(1, 2, 3, None)
    await eventually(lambda: stream.begun == [1, 2, 3])
    stream.let_go(3, 2)
    await asyncio.sleep(0.01)
    assert stream.written == []
    stream.let_go(1)
    assert await asyncio.wait_for(running, 5)
    assert stream.written == [1, 4, 9]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_no_more_is_read_than_fills_the_window() -> None:
    stream = Stream(window=3)
    running = asyncio.create_task(stream.run())
    stream.ask(*range(10), None)
    await eventually(lambda: stream.begun == [0, 1, 2])
    stream.writable.clear()
    stream.let_go(*range(10))
    await asyncio.sleep(0.02)
    assert stream.written == []
    assert len(stream.begun) <= 4  # a reader that is slow holds the requests back
    stream.writable.set()
    assert await asyncio.wait_for(running, 5)
    assert stream.written == [number**2 for number in range(10)]


@asynchronous
async def test_a_server_that_stops_answers_what_it_has_read_and_says_that_there_is_more() -> None:
    stream = Stream()
    running = asyncio.create_task(stream.run())
    stream.ask(1, 2)
    await eventually(lambda: stream.begun == [1, 2])
    stream.stopping.set()
    await asyncio.sleep(0.01)
    stream.ask(3, 4, 5, 6)
    stream.let_go(1, 2, 3, 4, 5, 6)
    assert not await asyncio.wait_for(running, 5)
    assert stream.written == [number**2 for number in stream.begun]
    assert len(stream.begun) <= 3  # the read that was under way may still have brought one
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_an_idle_stream_ends_when_the_server_stops() -> None:
    stream = Stream()
    running = asyncio.create_task(stream.run())
    await asyncio.sleep(0.01)
    stream.stopping.set()
    assert not await asyncio.wait_for(running, 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_a_caller_that_goes_leaves_nothing_running() -> None:
    stream = Stream()
    running = asyncio.create_task(stream.run())
    stream.ask(1, 2, 3)
    await eventually(lambda: stream.begun == [1, 2, 3])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_a_broken_answer_ends_the_stream_and_leaves_nothing_running() -> None:
    stream = Stream()

    async def fail(request: int) -> int:
        await asyncio.sleep(0)
        raise RuntimeError(f"{request}")

    stream.answer = fail  # type: ignore[method-assign]
    stream.ask(1, 2, 3)
    with pytest.raises(RuntimeError, match="1"):
        await asyncio.wait_for(stream.run(), 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_no_more_is_read_while_what_is_answered_weighs_too_much() -> None:
    stream = Stream(max_weight=100)
    running = asyncio.create_task(stream.run())
    stream.ask(60, 50, 1, 2, None)
    await eventually(lambda: stream.begun == [60, 50])
    await asyncio.sleep(0.02)
    assert stream.begun == [60, 50]
    stream.let_go(60)
    await eventually(lambda: stream.begun == [60, 50, 1, 2])
    stream.let_go(50, 1, 2)
    assert await asyncio.wait_for(running, 5)
