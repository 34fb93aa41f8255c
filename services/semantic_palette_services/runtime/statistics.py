"""What a model has done since it was loaded, and in the last minute: what ``semantic-palette status`` shows of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from semantic_palette_services.runtime.observer import (
    BatchObserver,
    CancelStage,
    ExecutedBatch,
    NullObserver,
    ShedReason,
)

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentWork:
    """What was done in the last minute.

    Attributes:
        seconds: how long the minute was: less where there was less.
        batches: how many batches.
        items: how many items they had.
        busy_seconds: how long they held the device.
    """

    seconds: float
    batches: int
    items: int
    busy_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """Counts of one model.

    Attributes:
        queue_depth: items that wait now.
        inflight: items accepted and not yet answered.
        batch_sizes: how many batches there were of each size.
        failed_batches: how many batches the model failed on, which are not among these.
        sheds: items refused or dropped, by reason.
        cancelled: items whose callers gave up, by where they were.
        recent: the last minute.
    """

    queue_depth: int
    inflight: int
    batch_sizes: Mapping[int, int]
    failed_batches: int
    sheds: Mapping[str, int]
    cancelled: Mapping[str, int]
    recent: RecentWork

    @property
    def batches(self) -> int:
        """Batches since the model was loaded."""
        return sum(self.batch_sizes.values())

    @property
    def items(self) -> int:
        """Items of these batches."""
        return sum(size * number for size, number in self.batch_sizes.items())


class StatisticsRecorder:
    """Counts the events of one batcher and passes them on. See `BatchObserver`.

    Args:
        observer: is told of every event as well.
        clock: seconds.
    """

    def __init__(self, observer: BatchObserver | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer or NullObserver()
        self._clock = clock
        self._started = clock()
        self._queue_depth = self._inflight = self._failed_batches = 0
        self._batch_sizes: Counter[int] = Counter()
        self._sheds: Counter[str] = Counter()
        self._cancelled: Counter[str] = Counter()
        # One slot a second of the window, and one for the second that has begun.
        self._slots = [_Slot() for _ in range(WINDOW_SECONDS + 1)]

    def snapshot(self) -> ModelStatistics:
        """The counts now."""
        return ModelStatistics(
            queue_depth=self._queue_depth,
            inflight=self._inflight,
            batch_sizes=dict(sorted(self._batch_sizes.items())),
            failed_batches=self._failed_batches,
            sheds=dict(self._sheds),
            cancelled=dict(self._cancelled),
            recent=self._recent(),
        )

    def _recent(self) -> RecentWork:
        now = self._clock()
        # From the beginning of the oldest second that counts whole.
        since = max(self._started, float(int(now) - WINDOW_SECONDS))
        slots = [slot for slot in self._slots if since - 1.0 < slot.second <= now and slot.batches]
        return RecentWork(
            seconds=now - since,
            batches=sum(slot.batches for slot in slots),
            items=sum(slot.items for slot in slots),
            busy_seconds=sum(slot.busy_seconds for slot in slots),
        )

    def batch_executed(self, batch: ExecutedBatch) -> None:
        """See `BatchObserver.batch_executed`."""
        self._batch_sizes[batch.size] += 1
        second = int(self._clock())
        position = second % len(self._slots)
        if self._slots[position].second != second:
            self._slots[position] = _Slot(second)
        slot = self._slots[position]
        slot.batches += 1
        slot.items += batch.size
        slot.busy_seconds += batch.seconds
        self._observer.batch_executed(batch)

    def batch_failed(self, model: str, seconds: float) -> None:
        """See `BatchObserver.batch_failed`."""
        self._failed_batches += 1
        self._observer.batch_failed(model, seconds)

    def shed(self, model: str, reason: ShedReason) -> None:
        """See `BatchObserver.shed`."""
        self._sheds[reason] += 1
        self._observer.shed(model, reason)

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """See `BatchObserver.cancelled`."""
        self._cancelled[stage] += 1
        self._observer.cancelled(model, stage)

    def queue_depth(self, model: str, depth: int) -> None:
        """See `BatchObserver.queue_depth`."""
        self._queue_depth = depth
        self._observer.queue_depth(model, depth)

    def inflight(self, model: str, delta: int) -> None:
        """See `BatchObserver.inflight`."""
        self._inflight += delta
        self._observer.inflight(model, delta)


@dataclass(slots=True)
class _Slot:
    """What ended in one second of the clock."""

    second: int = -1
    batches: int = 0
    items: int = 0
    busy_seconds: float = 0.0
