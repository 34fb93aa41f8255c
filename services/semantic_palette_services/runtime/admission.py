"""Which items a batcher accepts: bounds on how many wait, and on how long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.errors import OverloadError, QueueFullError, WaitTooLongError
from semantic_palette_services.runtime.item_queue import ItemQueue

# Push-back that is asked of refused callers, in seconds: long enough to matter, short enough to use a freed device.
SHORTEST_RETRY, LONGEST_RETRY = 0.1, 30.0
# Bulk work has time: it may be expected to wait so many times as long as interactive work.
BULK_PATIENCE = 10.0


@dataclass(slots=True, eq=False)
class Room:
    """Places in the queue of a batcher that are kept for items still to come.

    Attributes:
        priority: of the items.
        left: how many are left.
    """

    priority: Priority
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What may wait for a model.

    Bulk items leave a quarter of the places to interactive ones, and interactive items as much to bulk ones where there
    are any, so that neither keep the other out. A bulk request that no other is before may have all places.

    Attributes:
        items: most items that may wait; those that run do not count.
        seconds: longest that an interactive item may be expected to wait before it runs; bulk items may be expected to
            wait `BULK_PATIENCE` times as long.
    """

    items: int
    seconds: float = math.inf

    @property
    def shared_items(self) -> int:
        """Most items of one priority that may wait where the other wants places too."""
        return self.items - self.items // 4

    def seconds_of(self, priority: Priority) -> float:
        """Longest that an item of a priority may be expected to wait."""
        return self.seconds if priority is Priority.INTERACTIVE else BULK_PATIENCE * self.seconds


class Admission:
    """Keeps a queue within its limits. Used in the event loop's thread.

    Args:
        model: name of the model, for errors.
        limits: the limits.
        queue: the queue.
        expected_wait: estimated seconds until an item of a priority that comes now would run.
    """

    def __init__(
        self, model: str, limits: QueueLimits, queue: ItemQueue, expected_wait: Callable[[Priority], float]
    ) -> None:
        self._model = model
        self._limits = limits
        self._queue = queue
        self._expected_wait = expected_wait
        self._reserved = dict.fromkeys(Priority, 0)
        self._bulk_refused = -math.inf

    def overload(self, count: int, priority: Priority) -> OverloadError | None:
        """Why ``count`` more items are too many; None where they are not."""
        if limit := self._exceeded(count, priority):
            if priority is Priority.BULK:
                self._bulk_refused = time.monotonic()
            return QueueFullError(self._model, limit, _retry_after(self._expected_wait(priority)))
        longest = self._limits.seconds_of(priority)
        if longest < math.inf and (wait := self._expected_wait(priority)) > longest:
            return WaitTooLongError(self._model, wait, longest, _retry_after(wait - longest))
        return None

    @contextmanager
    def reserve(self, count: int, priority: Priority) -> Iterator[Room]:
        """Keep room for ``count`` items that `overload` has no objection to; what is left of it ends with the block."""
        room = Room(priority, count)
        self._reserved[priority] += count
        try:
            yield room
        finally:
            self._reserved[priority] -= room.left
            room.left = 0

    def take_place(self, room: Room) -> bool:
        """Make a place that was kept the item's own; False where none is left."""
        if not room.left:
            return False
        room.left -= 1
        self._reserved[room.priority] -= 1
        return True

    def _exceeded(self, count: int, priority: Priority) -> int | None:
        """The number of places that ``count`` more items would exceed; None where they fit."""
        if self._present(Priority.INTERACTIVE) + self._present(Priority.BULK) + count > self._limits.items:
            return self._limits.items
        rivals = self._present(priority)
        # Without rivals even the largest request that the queue can hold gets in, or it never could.
        shared = rivals > 0 and (priority is Priority.BULK or self._bulk_wanted())
        return self._limits.shared_items if shared and rivals + count > self._limits.shared_items else None

    def _present(self, priority: Priority) -> int:
        return self._queue.count(priority) + self._reserved[priority]

    def _bulk_wanted(self) -> bool:
        """Whether bulk items are here, or were refused and will be back."""
        return self._present(Priority.BULK) > 0 or time.monotonic() - self._bulk_refused < LONGEST_RETRY


def _retry_after(seconds: float) -> float:
    return min(max(seconds, SHORTEST_RETRY), LONGEST_RETRY)
