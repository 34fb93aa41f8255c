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
    window: int,
    stopping: asyncio.Event,
) -> bool:
    """Read requests and answer them until there are no more; what has been begun is answered when the server stops.

    Args:
        read: the next request, or None after the last.
        answer: makes an answer; must not raise for what is a request's own fault.
        write: sends an answer; waits for a slow reader, and then no more requests are read than fill the window.
        window: most requests that are being answered at the same time.
        stopping: once set, no more requests are read.

    Returns:
        Whether the last request has been answered, rather than the last one that was read.
    """
    begun: deque[asyncio.Task[Answer]] = deque()
    reading: asyncio.Task[Request | None] | None = None
    stop = asyncio.ensure_future(stopping.wait())
    ended = False
    try:
        while True:
            if reading is None and not ended and not stop.done() and len(begun) < window:
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
            while begun and begun[0].done():
                await write(begun.popleft().result())
    finally:
        await cancel_and_wait([stop, *begun, *([reading] if reading is not None else [])])
