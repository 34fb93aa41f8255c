"""The side of a batcher that faces the device: forms a batch when the device frees, and runs it.

Stacking, running and splitting happen in the device's thread, and a batch costs the event loop two callbacks whatever
its size.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from semantic_palette.errors import SemanticPaletteError
from semantic_palette.priority import Priority
from semantic_palette_services.runtime.batch_arrays import Outputs, split, stack
from semantic_palette_services.runtime.batch_time import BatchFit, BatchTimes
from semantic_palette_services.runtime.errors import DrainingError, EngineDiedError, InferenceError
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays, BucketKey, Item, ItemQueue, Turns

logger = logging.getLogger(__name__)

RunBatch: TypeAlias = Callable[[Arrays], Outputs]

# Bulk items fill up a batch of interactive ones as far as these are kept no more than this share longer.
COMPANY_SURCHARGE = 0.1
# Expected waits are taken for so much longer where a deadline is at stake. Overload fills a queue with items that are
# all expected just in time, and an answer that comes just too late was computed in vain.
WAIT_SURCHARGE = 0.1


class Replies(Protocol):
    """What becomes of items; told in the event loop's thread."""

    def pulled(self, expired: Sequence[Item], now: float) -> None:
        """Items have left the queue; the deadlines of those that are given had passed by ``now``."""

    def answered(self, items: Sequence[Item], answers: Sequence[Outputs], started: float, seconds: float) -> None:
        """A batch that ``started`` on the event loop's clock was run in so many seconds."""

    def batch_failed(self, items: Sequence[Item], error: Exception, started: float, seconds: float) -> None:
        """A batch that ``started`` on the event loop's clock failed after so many seconds; its items have not yet."""

    def failed(self, items: Sequence[Item], errors: Sequence[SemanticPaletteError]) -> None:
        """Items have failed, each with its own error."""


class BatchSource:
    """The queue of a model, and what runs its batches. A `WorkSource`.

    Args:
        name: name of the model.
        run_batch: runs the model on arrays with a batch axis first; called in the device's thread.
        run_deterministic: what runs deterministic items, one at a time.
        executor: the device.
        max_batch_size: most items in a batch.
        measured_seconds: seconds by batch size, known before serving.
        replies: is told what becomes of the items.

    Attributes:
        queue: the queue; to be read, but changed by the methods alone.
    """

    def __init__(
        self,
        name: str,
        run_batch: RunBatch,
        run_deterministic: RunBatch,
        executor: DeviceExecutor,
        *,
        max_batch_size: int,
        measured_seconds: Mapping[int, float] | None,
        replies: Replies,
    ) -> None:
        self._name = name
        self._run_batch = run_batch
        self._run_deterministic = run_deterministic
        self._executor = executor
        self._max_batch_size = max_batch_size
        self._replies = replies
        self._loop = asyncio.get_running_loop()
        # The lock guards what the two threads share: what follows. Whoever holds it never takes the executor's, which
        # calls this while holding its own.
        self._lock = threading.Lock()
        self.queue = ItemQueue(max_batch_size)
        self._running: list[Item] = []
        self._running_until = 0.0
        self._threads_inside = 0
        self._times = BatchTimes(measured_seconds)
        self._death: str | None = None
        self._closed = False

    @property
    def death(self) -> str | None:
        """Of what the engine has died; None while it lives."""
        return self._death

    @property
    def engine_in_use(self) -> bool:
        """Whether a thread is within the engine, be it one that was given up."""
        return self._threads_inside > 0

    # For the event loop's thread.

    def fits(self) -> list[BatchFit]:
        """How long batches take, of every kind that there has been."""
        with self._lock:
            return self._times.fits()

    def add(self, item: Item) -> None:
        """Queue an item; `DeviceExecutor.announce` then lets the device know.

        Raises:
            EngineDiedError: the engine is dead.
        """
        with self._lock:
            if self._death is not None:
                raise EngineDiedError(self._name, self._death)
            self.queue.add(item)

    def discard(self, item: Item) -> bool:
        """Take an item out of the queue; False if it is not there."""
        with self._lock:
            return self.queue.discard(item)

    def close(self) -> list[Item]:
        """Take everything out of the queue, for good."""
        with self._lock:
            self._closed = True
            return self.queue.clear()

    def revive(self) -> None:
        """The engine has been loaded again after it died."""
        with self._lock:
            self._death = None

    def expected_wait(self, priority: Priority, before: Item | None = None) -> float:
        """Estimated time until everything has run that goes before an item: by default, one without deadline."""
        with self._lock:
            turns = list(self.queue.turns(priority, before))
            if priority is Priority.BULK:
                turns += self.queue.turns(Priority.INTERACTIVE)
            own = self._times.total(turns)
        return own + self._executor.expected_wait(self, sum(number for _, _, number in turns) + 1, priority)

    def expected_seconds(self, item: Item) -> float:
        """Estimated time until ``item``, which is not queued yet, is answered; rather too long than too short."""
        with self._lock:
            now, then = self.queue.company(item)
            times = self._times.of(item.bucket)
            # The wait has the batch that the item joins as it is now.
            own = times.predict(then) - (times.predict(now) if now else 0.0)
            if times.outdated and not self._is_under_way(item.bucket):
                # Predictions follow what runs: one that a busy machine made too long would else refuse every item, and
                # never be corrected.
                own = 0.0
        return (1.0 + WAIT_SURCHARGE) * self.expected_wait(item.priority, item) + own

    # The work source, in the device's thread unless said otherwise.

    def run_turn(self, lead: Priority) -> None:
        """Pull the batch that is due, run it and send the answers to the event loop."""
        now = self._loop.time()
        with self._lock:
            if not self._executor.runs_here:  # given up before it began: what waits is for the next thread
                return
            pull = self.queue.pull(now, lead, self._company, self._shortest)
            if pull is None:
                return
            self._running = pull.batch
            self._running_until = now + self._times.of(pull.key).predict(len(pull.batch))
        self._post(self._replies.pulled, pull.expired, now)
        if pull.batch:
            self._execute(pull.key, pull.batch)

    def has_work(self, priority: Priority) -> bool:
        """Whether items of a priority wait; called from any thread."""
        return self.queue.count(priority) > 0

    def predict_seconds(self, turns: float, priority: Priority) -> float:
        """Expected device time of the next ``turns`` batches that a priority leads; called from any thread."""
        counted: list[Turns] = []
        with self._lock:
            for key, size, number in self.queue.turns(priority):
                counted.append(Turns(key, size, int(min(number, turns))))
                turns -= counted[-1].number
            return self._times.total(counted)

    def running_seconds_left(self) -> float:
        """Expected rest of the batch that is running; called from any thread."""
        return max(self._running_until - self._loop.time(), 0.0)

    def abandon(self, error: EngineDiedError) -> None:
        """Fail everything that waits or runs, and accept nothing more; called from any thread."""
        with self._lock:
            self._death = error.reason
            items = self._running + self.queue.clear()
            self._running = []
        self._post(self._replies.failed, items, [EngineDiedError(self._name, error.reason) for _ in items])

    def _is_under_way(self, key: BucketKey) -> bool:
        return self.queue.has(key) or any(item.bucket == key for item in self._running[:1])

    def _company(self, key: BucketKey, size: int) -> int:
        return self._times.of(key).affordable(size, self._max_batch_size, COMPANY_SURCHARGE)

    def _shortest(self, key: BucketKey) -> float:
        return self._times.of(key).predict(1)

    def _execute(self, key: BucketKey, items: list[Item]) -> None:
        started = self._loop.time()
        try:
            answers = self._run(key, items)
        except EngineDiedError as error:
            self._engine_died(items, error)
        except Exception as error:
            self._batch_failed(items, error, started)
        else:
            seconds = self._loop.time() - started
            if self._end_turn(items):
                with self._lock:
                    self._times.of(key).observe(len(items), seconds)
                self._post(self._replies.answered, items, answers, started, seconds)

    def _run(self, key: BucketKey, items: list[Item]) -> list[Outputs]:
        run = self._run_deterministic if key.deterministic else self._run_batch
        with self._lock:
            self._threads_inside += 1
        try:
            return split(run(stack(items)), len(items))
        finally:
            with self._lock:
                self._threads_inside -= 1

    def _end_turn(self, items: list[Item]) -> bool:
        """The turn that ran ``items`` is over; False where it was given up before, and they have been failed."""
        with self._lock:
            if self._running is not items:
                return False
            self._running = []
            return True

    def _engine_died(self, items: list[Item], error: EngineDiedError) -> None:
        if self._end_turn(items):
            logger.error("engine of %s died", self._name, exc_info=error)
            self._post(self._replies.failed, items, [EngineDiedError(self._name, error.reason) for _ in items])
            self.abandon(error)
            self._executor.report_trouble()

    def _batch_failed(self, items: list[Item], error: Exception, started: float) -> None:
        """Queue the items of a failed batch again, each to run alone; an item that failed alone gets the error.

        The retries are turns like any other, so that a poisoned batch does not keep other models from the device.
        """
        seconds = self._loop.time() - started
        # In one step: a device that is given up between the two would leave the items in a queue that nobody empties.
        with self._lock:
            if self._running is not items:
                return  # given up before; the items have been failed
            self._running = []
            self._post(self._replies.batch_failed, list(items), error, started, seconds)
            if len(items) > 1 and not self._closed:
                for item in items:
                    item.suspect = True
                    if not item.future.done():
                        self.queue.add(item)
                return
        errors = [_item_error(self._name, error)] if len(items) == 1 else [DrainingError(self._name) for _ in items]
        logger.warning("%s failed on %d items", self._name, len(items), exc_info=error)
        self._post(self._replies.failed, items, errors)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # The loop was closed without closing the batcher: nobody is left who could be told.


def _item_error(model: str, error: Exception) -> SemanticPaletteError:
    if isinstance(error, SemanticPaletteError):
        return error
    failure = InferenceError(model, f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
