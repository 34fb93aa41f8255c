"""Whose turn it is on a device.

Interactive work goes first, and sources that have some take turns. Bulk work takes turns when there is no interactive
work, and otherwise whenever a source with bulk work has waited for a pause since it got in line and since the last bulk
turn ended. The pause is `BULK_PAUSE_SECONDS` or nine times as long as that turn was, if that is longer. So

- interactive work that waits for less than a pause has at most one bulk batch before it: the one that runs when it
  arrives, or one that is due meanwhile, not both;
- bulk work gets a turn a pause and, where its batches are long, a tenth of the device, whatever the interactive load.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from semantic_palette.priority import Priority

BULK_PAUSE_SECONDS = 1.0
BULK_SHARE = 0.1


class Waiting(Protocol):
    """Something that may have work."""

    def has_work(self, priority: Priority) -> bool:
        """Whether work of this priority waits; called from any thread."""


Source = TypeVar("Source", bound=Waiting)


class TurnOrder(Generic[Source]):
    """The lines of sources that wait for a device, one a priority. Not thread-safe. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._lines: dict[Priority, dict[Source, float]] = {priority: {} for priority in Priority}
        self._no_bulk_before = float("-inf")

    def enter(self, source: Source, now: float) -> None:
        """The source goes to the end of the line of each priority that it has work of, unless it is in it."""
        for priority, line in self._lines.items():
            if source.has_work(priority):
                line.setdefault(source, now)

    def leave(self, source: Source) -> None:
        """The source wants no turn any more."""
        for line in self._lines.values():
            line.pop(source, None)

    def clear(self) -> None:
        """Nobody wants a turn any more."""
        for line in self._lines.values():
            line.clear()

    def waiting(self, priority: Priority) -> list[Source]:
        """The sources in line with work of a priority."""
        return list(self._lines[priority])

    def next(self, now: float) -> tuple[Source, Priority] | None:
        """Whose turn it is, and with work of which priority; None where nobody waits."""
        interactive, bulk = self._first(Priority.INTERACTIVE), self._first(Priority.BULK)
        if bulk is not None and (interactive is None or self._is_due(bulk, now)):
            return self._take(bulk, Priority.BULK)
        return None if interactive is None else self._take(interactive, Priority.INTERACTIVE)

    def ended(self, priority: Priority, seconds: float, now: float) -> None:
        """A turn has ended that took so many seconds."""
        if priority is Priority.BULK:
            self._no_bulk_before = now + max(BULK_PAUSE_SECONDS, seconds * (1.0 / BULK_SHARE - 1.0))

    def _first(self, priority: Priority) -> Source | None:
        """The first in line; those whose work has gone meanwhile, with a batch of the other priority, drop out."""
        line = self._lines[priority]
        for source in list(line):
            if source.has_work(priority):
                return source
            del line[source]
        return None

    def _is_due(self, bulk: Source, now: float) -> bool:
        return now >= max(self._no_bulk_before, self._lines[Priority.BULK][bulk] + BULK_PAUSE_SECONDS)

    def _take(self, source: Source, priority: Priority) -> tuple[Source, Priority]:
        del self._lines[priority][source]
        return source, priority
