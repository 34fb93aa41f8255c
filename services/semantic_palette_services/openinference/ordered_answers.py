"""Answering the requests of a stream: many at a time, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from semantic_palette_services.concurrency import cancel_and_wait

Request = TypeVar("Request")
Answer = TypeVar("Answer")


async def answer_in_order(
    read: Callable[[], Coroutine[Any, Any, Request | None]],
    answer: Callable[[Request], Coroutine[Any, Any, Answer]],
    write: Callable[[Answer], Awaitable[None]],
    *,
    weigh: Callable[[Request], int],
    window: int,
    max_weight: int,
    stopping: asyncio.Event,
) -> bool:
    """Read requests and answer them until there are no more; what has been begun is answered when the server stops.

    Args:
        read: the next request, or None after the last.
        answer: makes an answer; must not raise for what is a request's own fault.
        write: sends an answer; waits for a slow reader, and then no more requests are read than fill the window.
        weigh: how much of memory a request takes.
        window: most requests that are being answered at the same time.
        max_weight: as long as those being answered weigh more together, no more are read.
        stopping: once set, no more requests are read.

    Returns:
        Whether the last request has been answered, rather than the last one that was read.
    """
    begun: deque[asyncio.Task[Answer]] = deque()
    weights: deque[int] = deque()
    reading: asyncio.Task[Request | None] | None = None
    stop = asyncio.ensure_future(stopping.wait())
    ended = False
    try:
        while True:
            has_room = len(begun) < window and sum(weights) <= max_weight
            if reading is None and not ended and not stop.done() and has_room:
                reading = asyncio.ensure_future(read())
            waiting: set[asyncio.Future[Any]] = {begun[0]} if begun else set()
            if reading is not None and not stop.done():
                waiting |= {reading, stop}
            if not waiting:
                return ended
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                request, reading = reading.result(), None
                if request is None:
                    ended = True
                else:
                    begun.append(asyncio.ensure_future(answer(request)))
                    weights.append(weigh(request))
            while begun and begun[0].done():
                weights.popleft()
                await write(begun.popleft().result())
    finally:
        await cancel_and_wait([stop, *begun, *([reading] if reading is not None else [])])
