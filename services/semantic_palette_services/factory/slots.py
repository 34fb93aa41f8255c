"""How many pairs a factory makes at a time, and who goes first where that is not enough."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from semantic_palette.priority import Priority


class Slots:
    """Slots for pairs in the making. Interactive pairs go first; a quarter is never had by the other priority.

    So an interactive stream does not wait for pairs of bulk streams, however many there are, and no number of
    interactive streams stops the others.

    Args:
        total: number of slots.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        # With one slot there is nothing to divide.
        self._most = max(1, total - total // 4)
        self._used = dict.fromkeys(Priority, 0)
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}

    @asynccontextmanager
    async def slot(self, priority: Priority) -> AsyncIterator[None]:
        """Within the block one slot is taken."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release(priority)

    async def _acquire(self, priority: Priority) -> None:
        if self._waiting[priority] or not self._available(priority):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[priority].append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release(priority)  # the slot came at the moment of giving up
                else:
                    self._waiting[priority].remove(turn)
                raise
        else:
            self._take(priority)

    def _release(self, priority: Priority) -> None:
        self._free += 1
        self._used[priority] -= 1
        for first in Priority:
            while self._waiting[first] and self._available(first):
                turn = self._waiting[first].popleft()
                if not turn.done():
                    self._take(first)
                    turn.set_result(None)

    def _available(self, priority: Priority) -> bool:
        return self._free > 0 and self._used[priority] < self._most

    def _take(self, priority: Priority) -> None:
        self._free -= 1
        self._used[priority] += 1
