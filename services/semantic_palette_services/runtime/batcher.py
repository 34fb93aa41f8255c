"""Late-binding dynamic batcher: a batch is formed when the device frees, with zero wait.

Callers `submit` single samples in the event loop. The device's thread pulls a batch from the queue at the moment its
turn comes, so whatever arrived while the device was busy, with this model or another, is in it; nothing is ever held
back for company. Stacking, running and splitting happen in the device's thread, and a batch costs the loop two
callbacks whatever its size.

What is promised: every accepted item ends exactly once, with its own rows of the model's output, a typed error, or its
caller's cancellation. A batch that fails is run again item by item, so that only the item that fails alone gets an
error. When the engine or the device's thread dies or hangs, everything that waits or runs fails, and nothing is
accepted until `Batcher.revive`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from semantic_palette.errors import SemanticPaletteError
from semantic_palette.priority import Priority
from semantic_palette_services.runtime.admission import Admission, QueueLimits, Room
from semantic_palette_services.runtime.batch_arrays import Outputs, split, stack
from semantic_palette_services.runtime.batch_time import BatchTimeModel
from semantic_palette_services.runtime.errors import (
    DeadlineExpiredError,
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    InferenceError,
    QueueFullError,
)
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays, BucketKey, Item, ItemQueue, Turns
from semantic_palette_services.runtime.observer import BatchObserver, ExecutedBatch, NullObserver
from semantic_palette_services.tracing import record_batch

logger = logging.getLogger(__name__)

RunBatch: TypeAlias = Callable[[Arrays], Outputs]

# Bulk items fill up a batch of interactive ones as far as these are kept no more than this share longer.
COMPANY_SURCHARGE = 0.1
# Expected waits are taken for so much longer where a deadline is at stake. Overload fills a queue with items that are
# all expected just in time, and an answer that comes just too late was computed in vain.
WAIT_SURCHARGE = 0.1


class Batcher:
    """Batches the items of one model. Create it, and call all its methods, in the event loop's thread.

    Args:
        run_batch: runs the model on arrays with a batch axis first; called in the device's thread.
        executor: the device, shared with other models.
        max_batch_size: most items in a batch.
        limits: how many items may wait, and how long.
        name: name of the model, for messages and the observer.
        observer: told of every event, in the event loop's thread.
        run_deterministic: what runs deterministic items, one at a time; ``run_batch`` by default.
        measured_seconds: seconds by batch size, known before serving, for the first estimates.
    """

    def __init__(
        self,
        run_batch: RunBatch,
        executor: DeviceExecutor,
        *,
        max_batch_size: int,
        limits: QueueLimits,
        name: str,
        observer: BatchObserver | None = None,
        run_deterministic: RunBatch | None = None,
        measured_seconds: Mapping[int, float] | None = None,
    ) -> None:
        self.name = name
        self._run_batch = run_batch
        self._run_deterministic = run_deterministic or run_batch
        self._executor = executor
        self._max_batch_size = max_batch_size
        self._observer = observer or NullObserver()
        self._measured = measured_seconds
        self._loop = asyncio.get_running_loop()
        # The lock guards what the device's thread shares: from here to _closed. Whoever holds it never takes the
        # executor's, which calls the batcher while holding its own.
        self._lock = threading.Lock()
        self._queue = ItemQueue(max_batch_size)
        self._running: list[Item] = []
        self._running_until = 0.0
        self._threads_inside = 0
        self._times: dict[tuple[object, bool], BatchTimeModel] = {}
        self._death: str | None = None
        self._closed = False
        self._admission = Admission(name, limits, self._queue, self._expected_wait)
        self._draining = self._announced = False
        self._inflight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        executor.register(self)

    @property
    def healthy(self) -> bool:
        """Whether the engine and its device live."""
        return self._death is None and self._executor.healthy

    @property
    def engine_in_use(self) -> bool:
        """Whether a thread is within the engine, be it one that was given up."""
        return self._threads_inside > 0

    @property
    def inflight(self) -> int:
        """Number of accepted items whose callers have not been answered."""
        return self._inflight

    @contextmanager
    def reserve(self, count: int, priority: Priority = Priority.INTERACTIVE) -> Iterator[Room]:
        """Keep room in the queue for items that are still to be prepared; leaving the block returns what is left of it.

        Raises:
            OverloadError: there is no room for all of them, or they would wait too long.
            DrainingError, EngineDiedError: nothing is accepted any more.
        """
        self._check_open()
        self._check_load(count, priority)
        with self._admission.reserve(count, priority) as room:
            yield room

    async def submit(
        self,
        inputs: Arrays,
        *,
        deadline: float | None = None,
        deterministic: bool = False,
        room: Room | None = None,
    ) -> Outputs:
        """Run one sample in whatever batch it fits; the arrays must not change until the answer is there.

        Args:
            inputs: arrays by input name, without batch axis.
            deadline: when the answer becomes useless, in seconds of the event loop's clock (``loop.time()``).
            deterministic: run the sample in a batch of its own, so that the answer does not depend on its neighbours.
            room: what `reserve` gave, to take one place of it, with its priority; by default the sample is interactive
                and the queue must have room now.

        Returns:
            Arrays by output name, without batch axis.

        Raises:
            OverloadError: there is no room in the queue, or what is in it takes too long.
            DeadlineUnmetError: the deadline cannot be met, or (DeadlineExpiredError) has passed in the queue.
            DrainingError: the batcher accepts nothing new, or was closed while the sample waited.
            InferenceError: the model fails on this sample.
            EngineDiedError: the engine died.
        """
        priority = Priority.INTERACTIVE if room is None else room.priority
        item = Item(inputs, self._loop.create_future(), self._loop.time(), deadline, deterministic, priority)
        self._admit(item, room)
        self._enter(item)
        try:
            return await item.future
        except asyncio.CancelledError:
            self._forget(item)
            raise
        finally:
            self._leave()

    async def drain(self) -> None:
        """Accept nothing new; return when everything accepted has been answered."""
        self._draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """Accept nothing new, fail what waits with DrainingError, return when what runs is over."""
        self._draining = True
        with self._lock:
            self._closed = True
            waiting = self._queue.clear()
        self._fail(waiting, [DrainingError(self.name) for _ in waiting])
        await self._executor.unregister(self)
        await self._idle.wait()

    def revive(self) -> None:
        """The engine has been loaded again after it died: accept items as before."""
        with self._lock:
            self._death = None

    # Admission, in the event loop's thread.

    def _check_open(self) -> None:
        if self._death is not None:
            raise EngineDiedError(self.name, self._death)
        if self._draining:
            self._observer.shed(self.name, "drain")
            raise DrainingError(self.name)

    def _check_load(self, count: int, priority: Priority) -> None:
        error = self._admission.overload(count, priority)
        if error is not None:
            self._observer.shed(self.name, "queue_full" if isinstance(error, QueueFullError) else "wait")
            raise error

    def _admit(self, item: Item, room: Room | None) -> None:
        self._check_open()
        if room is None or not self._admission.take_place(room):
            self._check_load(1, item.priority)
        if item.deadline is not None:
            needed, left = self._expected_seconds(item), item.deadline - item.enqueued
            if left <= 0.0 or needed > left:
                self._observer.shed(self.name, "deadline")
                raise DeadlineUnmetError(self.name, needed, left)

    def _expected_wait(self, priority: Priority, before: Item | None = None) -> float:
        """Estimated time until everything has run that goes before an item: by default, one without deadline."""
        with self._lock:
            turns = list(self._queue.turns(priority, before))
            if priority is Priority.BULK:
                turns += self._queue.turns(Priority.INTERACTIVE)
            own = self._predict(turns)
        return own + self._executor.expected_wait(self, sum(number for _, _, number in turns) + 1, priority)

    def _expected_seconds(self, item: Item) -> float:
        """Estimated time until ``item``, which is not queued yet, is answered; rather too long than too short."""
        with self._lock:
            now, then = self._queue.company(item)
            times = self._time_of(item.bucket)
            # The wait has the batch that the item joins as it is now.
            own = times.predict(then) - (times.predict(now) if now else 0.0)
        return (1.0 + WAIT_SURCHARGE) * self._expected_wait(item.priority, item) + own

    def _enter(self, item: Item) -> None:
        with self._lock:
            if self._death is not None:  # it died between admission and here
                raise EngineDiedError(self.name, self._death)
            self._queue.add(item)
        self._inflight += 1
        self._idle.clear()
        self._observer.inflight(self.name, 1)
        self._report_depth()
        if not self._announced:
            # At the end of this pass of the loop, not now: the device would take the first of many alone.
            self._announced = True
            self._loop.call_soon(self._announce)

    def _announce(self) -> None:
        self._announced = False
        self._executor.announce(self)

    def _forget(self, item: Item) -> None:
        with self._lock:
            queued = self._queue.discard(item)
        self._observer.cancelled(self.name, "queued" if queued else "running")
        if queued:
            self._report_depth()

    def _leave(self) -> None:
        self._inflight -= 1
        if self._inflight == 0:
            self._idle.set()
        self._observer.inflight(self.name, -1)

    # The work source, in the device's thread unless said otherwise.

    def run_turn(self, lead: Priority) -> None:
        """Pull the batch that is due, run it and send the answers to the event loop."""
        now = self._loop.time()
        with self._lock:
            pull = self._queue.pull(now, lead, self._company)
            if pull is None:
                return
            self._running = pull.batch
            self._running_until = now + self._time_of(pull.key).predict(len(pull.batch))
        self._post(self._pulled, pull.expired, now)
        if pull.batch:
            self._execute(pull.key, pull.batch)

    def has_work(self, priority: Priority) -> bool:
        """Whether items of a priority wait; called from any thread."""
        return self._queue.count(priority) > 0

    def predict_seconds(self, turns: float, priority: Priority) -> float:
        """Expected device time of the next ``turns`` batches that a priority leads; called from any thread."""
        counted: list[Turns] = []
        with self._lock:
            for key, size, number in self._queue.turns(priority):
                counted.append(Turns(key, size, int(min(number, turns))))
                turns -= counted[-1].number
            return self._predict(counted)

    def running_seconds_left(self) -> float:
        """Expected rest of the batch that is running; called from any thread."""
        return max(self._running_until - self._loop.time(), 0.0)

    def abandon(self, error: EngineDiedError) -> None:
        """Fail everything that waits or runs, and accept nothing more; called from any thread."""
        with self._lock:
            self._death = error.reason
            items = self._running + self._queue.clear()
            self._running = []
        self._post(self._fail, items, [EngineDiedError(self.name, error.reason) for _ in items])

    def _company(self, key: BucketKey, size: int) -> int:
        return self._time_of(key).affordable(size, self._max_batch_size, COMPANY_SURCHARGE)

    def _execute(self, key: BucketKey, items: list[Item]) -> None:
        started = self._loop.time()
        try:
            answers = self._run(key, items)
        except EngineDiedError as error:
            if self._end_turn(items):
                logger.exception("engine of %s died", self.name)
                self.abandon(error)
                self._post(self._fail, items, [EngineDiedError(self.name, error.reason) for _ in items])
                self._executor.report_trouble()
        except Exception as error:
            self._batch_failed(items, error)
        else:
            seconds = self._loop.time() - started
            if self._end_turn(items):
                with self._lock:
                    self._time_of(key).observe(len(items), seconds)
                self._post(self._answer, items, answers, started, seconds)

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

    def _batch_failed(self, items: list[Item], error: Exception) -> None:
        """Queue the items of a failed batch again, each to run alone; an item that failed alone gets the error.

        The retries are turns like any other, so that a poisoned batch does not keep other models from the device.
        """
        with self._lock:
            if self._running is not items:
                return  # given up before
            self._running = []
            if len(items) > 1 and not self._closed:
                for item in items:
                    item.suspect = True
                    if not item.future.done():
                        self._queue.add(item)
                return
        error_of_one = _item_error(self.name, error)
        errors = [error_of_one] if len(items) == 1 else [DrainingError(self.name) for _ in items]
        logger.warning("%s failed on %d items", self.name, len(items), exc_info=error)
        self._post(self._fail, items, errors)

    def _predict(self, turns: Sequence[Turns]) -> float:
        return math.fsum(number * self._time_of(key).predict(size) for key, size, number in turns)

    def _time_of(self, key: BucketKey) -> BatchTimeModel:
        """Batch times of a bucket; those of items that run alone after a failure are in with the others'."""
        bucket = (key.signature, key.deterministic)
        if bucket not in self._times:
            self._times[bucket] = BatchTimeModel(None if key.deterministic else self._measured)
        return self._times[bucket]

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # The loop was closed without closing the batcher: nobody is left who could be told.

    # Answers, in the event loop's thread.

    def _pulled(self, expired: Sequence[Item], now: float) -> None:
        self._report_depth()
        for item in expired:
            waited, left = now - item.enqueued, (item.deadline or now) - now
            self._observer.shed(self.name, "deadline")
            self._fail([item], [DeadlineExpiredError(self.name, waited, left)])

    def _answer(self, items: Sequence[Item], answers: Sequence[Outputs], started: float, seconds: float) -> None:
        for item, answer in zip(items, answers, strict=True):
            if not item.future.done():
                item.future.set_result(answer)
        waits, spans = [started - item.enqueued for item in items], [item.span for item in items]
        span = record_batch(self.name, spans, waits, self._loop.time() - started, seconds)
        batch = ExecutedBatch(model=self.name, seconds=seconds, queue_seconds=waits, spans=spans, span=span)
        self._observer.batch_executed(batch)

    def _fail(self, items: Sequence[Item], errors: Sequence[SemanticPaletteError]) -> None:
        for item, error in zip(items, errors, strict=True):
            if not item.future.done():
                item.future.set_exception(error)
        self._report_depth()

    def _report_depth(self) -> None:
        self._observer.queue_depth(self.name, len(self._queue))


def _item_error(model: str, error: Exception) -> SemanticPaletteError:
    if isinstance(error, SemanticPaletteError):
        return error
    failure = InferenceError(model, f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
