"""Late-binding dynamic batcher: a batch is formed when the device frees, with zero wait.

Callers `submit` single samples in the event loop. The device's thread pulls a batch from the queue at the moment its
turn comes, so whatever arrived while the device was busy, with this model or another, is in it; nothing is ever held
back for company.

What is promised: every accepted item ends exactly once, with its own rows of the model's output, a typed error, or its
caller's cancellation. A batch that fails is run again item by item, so that only the item that fails alone gets an
error. When the engine or the device's thread dies or hangs, everything that waits or runs fails, and nothing is
accepted until `Batcher.revive`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from semantic_palette.errors import SemanticPaletteError
from semantic_palette.priority import Priority
from semantic_palette_services.runtime.admission import Admission, QueueLimits, Room
from semantic_palette_services.runtime.batch_arrays import Outputs
from semantic_palette_services.runtime.batch_source import BatchSource, RunBatch
from semantic_palette_services.runtime.batch_time import BatchFit
from semantic_palette_services.runtime.errors import (
    DeadlineExpiredError,
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    QueueFullError,
)
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.item_queue import Arrays, Item
from semantic_palette_services.runtime.observer import BatchObserver, ExecutedBatch, NullObserver
from semantic_palette_services.tracing import record_batch


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
        self._executor = executor
        self._observer = observer or NullObserver()
        self._loop = asyncio.get_running_loop()
        self._source = BatchSource(
            name,
            run_batch,
            run_deterministic or run_batch,
            executor,
            max_batch_size=max_batch_size,
            measured_seconds=measured_seconds,
            replies=self,
        )
        self._admission = Admission(name, limits, self._source.queue, self._source.expected_wait)
        self._draining = self._announced = False
        self._inflight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        executor.register(self._source)

    @property
    def healthy(self) -> bool:
        """Whether the engine and its device live."""
        return self._source.death is None and self._executor.healthy

    @property
    def engine_in_use(self) -> bool:
        """Whether a thread is within the engine, be it one that was given up."""
        return self._source.engine_in_use

    @property
    def inflight(self) -> int:
        """Number of accepted items whose callers have not been answered."""
        return self._inflight

    def waiting(self) -> dict[Priority, int]:
        """How many items of each priority wait."""
        return {priority: self._source.queue.count(priority) for priority in Priority}

    def fits(self) -> list[BatchFit]:
        """How long batches take, of every kind that there has been."""
        return self._source.fits()

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
        waiting = self._source.close()
        self.failed(waiting, [DrainingError(self.name) for _ in waiting])
        await self._executor.unregister(self._source)
        await self._idle.wait()

    def revive(self) -> None:
        """The engine has been loaded again after it died: accept items as before."""
        self._source.revive()

    # Admission, in the event loop's thread.

    def _check_open(self) -> None:
        if self._source.death is not None:
            raise EngineDiedError(self.name, self._source.death, self._executor.back_in_seconds)
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
            needed, left = self._source.expected_seconds(item), item.deadline - item.enqueued
            if left <= 0.0 or needed > left:
                self._observer.shed(self.name, "deadline")
                raise DeadlineUnmetError(self.name, needed, left)

    def _enter(self, item: Item) -> None:
        self._source.add(item)
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
        self._executor.announce(self._source)

    def _forget(self, item: Item) -> None:
        queued = self._source.discard(item)
        self._observer.cancelled(self.name, "queued" if queued else "running")
        if queued:
            self._report_depth()

    def _leave(self) -> None:
        self._inflight -= 1
        if self._inflight == 0:
            self._idle.set()
        self._observer.inflight(self.name, -1)

    # Replies of the source.

    def pulled(self, expired: Sequence[Item], now: float) -> None:
        """See `Replies.pulled`."""
        self._report_depth()
        for item in expired:
            waited, left = now - item.enqueued, (item.deadline or now) - now
            self._observer.shed(self.name, "deadline")
            self.failed([item], [DeadlineExpiredError(self.name, waited, left)])

    def answered(self, items: Sequence[Item], answers: Sequence[Outputs], started: float, seconds: float) -> None:
        """See `Replies.answered`."""
        for item, answer in zip(items, answers, strict=True):
            if not item.future.done():
                item.future.set_result(answer)
        waits, spans = [started - item.enqueued for item in items], [item.span for item in items]
        span = record_batch(self.name, spans, waits, self._loop.time() - started, seconds)
        batch = ExecutedBatch(model=self.name, seconds=seconds, queue_seconds=waits, spans=spans, span=span)
        self._observer.batch_executed(batch)

    def batch_failed(self, items: Sequence[Item], error: Exception, started: float, seconds: float) -> None:
        """See `Replies.batch_failed`."""
        waits, spans = [started - item.enqueued for item in items], [item.span for item in items]
        failure = f"{type(error).__name__}: {error}"
        record_batch(self.name, spans, waits, self._loop.time() - started, seconds, failure)
        self._observer.batch_failed(self.name, seconds)

    def failed(self, items: Sequence[Item], errors: Sequence[SemanticPaletteError]) -> None:
        """See `Replies.failed`."""
        for item, error in zip(items, errors, strict=True):
            if not item.future.done():
                item.future.set_exception(error)
        self._report_depth()

    def _report_depth(self) -> None:
        self._observer.queue_depth(self.name, len(self._source.queue))
