"""A number of slots, and who goes first where they are not enough."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from semantic_palette.priority import Priority

# Interactive work that goes before bulk work that waits, until that has its turn: bulk work gets a tenth.
_BEFORE_BULK = 9

_priority: ContextVar[Priority] = ContextVar("priority", default=Priority.INTERACTIVE)


def current_priority() -> Priority:
    """How urgent what this task does is; interactive unless `work_as` said otherwise."""
    return _priority.get()


def work_as(priority: Priority) -> None:
    """Say how urgent it is what this task does from here on, and the tasks that it starts."""
    _priority.set(priority)


class Slots:
    """Slots that work of both priorities takes.

    Whenever a slot is free, interactive work goes before bulk work, but every tenth time. A quarter of the slots is
    never had by one priority alone. So interactive work does not wait until long bulk work is over, however much there
    is of it, and no amount of interactive work stops bulk work.

    Args:
        total: number of slots.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._most = total - total // 4
        self._used = dict.fromkeys(Priority, 0)
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._before_bulk = 0

    @asynccontextmanager
    async def slot(self, priority: Priority) -> AsyncIterator[None]:
        """Within the block one slot is taken."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release(priority)

    async def _acquire(self, priority: Priority) -> None:
        if not self._waiting[priority] and self._available(priority):
            self._take(priority)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(priority)  # the slot came at the moment of giving up
            with suppress(ValueError):  # the slot was free in the same moment, and it was passed over
                self._waiting[priority].remove(turn)
            raise

    def _release(self, priority: Priority) -> None:
        self._free += 1
        self._used[priority] -= 1
        while (first := self._next()) is not None:
            turn = self._waiting[first].popleft()
            if not turn.done():
                self._take(first)
                turn.set_result(None)

    def _next(self) -> Priority | None:
        """Whose turn it is; None where nobody waits, or nobody may."""
        ready = [priority for priority in Priority if self._waiting[priority] and self._available(priority)]
        if len(ready) == len(Priority):
            return Priority.BULK if self._before_bulk >= _BEFORE_BULK else Priority.INTERACTIVE
        return ready[0] if ready else None

    def _available(self, priority: Priority) -> bool:
        return self._free > 0 and self._used[priority] < self._most

    def _take(self, priority: Priority) -> None:
        self._free -= 1
        self._used[priority] += 1
        self._before_bulk = 0 if priority is Priority.BULK else self._before_bulk + 1
