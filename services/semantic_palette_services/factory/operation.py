"""Streams of pairs, made or edited: several at a time, in order, no faster than they are read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from semantic_palette.pair import EditedPair, Pair
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.concurrency import WorkerPool, cancel_and_wait
from semantic_palette_services.factory.edits import PairEditor
from semantic_palette_services.factory.generation import PairGenerator
from semantic_palette_services.factory.jobs import EditJob, PairJob
from semantic_palette_services.factory.maker import PairMaker
from semantic_palette_services.factory.stages import PinnedBundle, Stages
from semantic_palette_services.limits import TooManyCallsError
from semantic_palette_services.runtime.errors import DrainingError
from semantic_palette_services.slots import Slots, work_as
from semantic_palette_services.tracing import traced, untraced

# A stream may have a million pairs, which no trace can hold: every pair at first, then a few.
_TRACED_FIRST = 100
_TRACED_EVERY = 1000

AnyPair = TypeVar("AnyPair", bound=Pair)


class PairObserver(Protocol):
    """Is told about pairs in the making; must be quick."""

    def pair_started(self) -> None:
        """The making of a pair has begun."""

    def pair_ended(self, made: bool) -> None:
        """The pair is made, or has failed or been given up."""


class Pace(Protocol):
    """How fast the pairs of a stream may be begun."""

    async def begin_pair(self) -> None:
        """Wait until another pair may be begun; raises when none may any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryLimits:
    """How much a factory does at a time."""

    window: int
    """Pairs of one stream in the making or waiting to be read: a few batches, so that a device always finds the next
    batch ready."""
    max_in_flight: int
    """Pairs of all streams in the making; see `Slots`. Below the bound of the models' queues, so that streams wait for
    each other instead of failing each other."""
    max_streams: int
    """Streams at the same time."""


class FactoryOperation:
    """Makes streams of pairs.

    Args:
        stages: what makes palettes, layouts and images.
        pool: threads to encode in.
        observer: is told about pairs in the making.
        limits: how much is done at a time.
    """

    def __init__(self, stages: Stages, pool: WorkerPool, observer: PairObserver, limits: FactoryLimits) -> None:
        self._stages = stages
        self._pool = pool
        self._observer = observer
        self._limits = limits
        self._slots = Slots(limits.max_in_flight)
        self._open_streams = 0
        self._draining = False

    def drain(self) -> None:
        """Begin no more pairs: every stream finishes those begun, then fails with DrainingError."""
        self._draining = True

    @asynccontextmanager
    async def pin(self, selection: BundleSelection, deadline: float | None = None) -> AsyncIterator[PinnedBundle]:
        """The bundle for a new stream; where its stages are in this process, it stays loaded within the block.

        Raises:
            BundleNotFoundError: the bundle is not served.
            BundleMismatchError: the digest or version that is asked for is not loaded.
        """
        bundle = await self._stages.palette.pin(selection, deadline)
        with self._stages.hold(bundle):
            yield bundle

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Keep a place for a stream for as long as the context lasts, before what it is made from is decoded.

        Raises:
            TooManyCallsError: no stream can be added.
            DrainingError: the server stops.
        """
        if self._draining:
            raise DrainingError("factory")
        if self._open_streams >= self._limits.max_streams:
            raise TooManyCallsError("streams of pairs", self._limits.max_streams)
        self._open_streams += 1
        try:
            yield
        finally:
            self._open_streams -= 1

    def stream(
        self, bundle: PinnedBundle, job: PairJob, deadline: float | None, pace: Pace
    ) -> AsyncGenerator[Pair, None]:
        """Make pairs, in order of index, within `admit`; `Pair.label_data` is encoded as the job says.

        Pairs are made ahead of the reader only as far as the window reaches. Closing the iterator gives up every pair
        in the making; close it (``contextlib.aclosing``) wherever it may be left early.

        Raises:
            DrainingError: the server stops; the pairs that were begun have been yielded.
        """
        maker = PairGenerator(self._stages, self._pool, bundle, job, deadline)
        return self._stream(maker, job, pace)

    def edit(
        self, bundle: PinnedBundle, job: EditJob, deadline: float | None, pace: Pace
    ) -> AsyncGenerator[EditedPair, None]:
        """Make edited pairs, in order of index, as `stream` does pairs."""
        maker = PairEditor(self._stages, self._pool, bundle, job, deadline)
        return self._stream(maker, job, pace)

    async def _stream(
        self, maker: PairMaker[AnyPair], job: PairJob | EditJob, pace: Pace
    ) -> AsyncGenerator[AnyPair, None]:
        window: deque[asyncio.Task[AnyPair]] = deque()
        started = 0
        try:
            while window or started < job.count:
                while started < job.count and len(window) < self._limits.window and not self._draining:
                    window.append(asyncio.create_task(self._make(maker, job, started, pace)))
                    started += 1
                if not window:
                    raise DrainingError("factory")
                pair = await window[0]
                window.popleft()
                maker.forget_before(pair.index)
                yield pair
        finally:
            await cancel_and_wait(window)
            await maker.close()

    async def _make(self, maker: PairMaker[AnyPair], job: PairJob | EditJob, number: int, pace: Pace) -> AnyPair:
        await pace.begin_pair()  # Before a place is taken: who has to wait holds nobody up.
        if self._draining:
            raise DrainingError("factory")
        work_as(job.priority)
        index = job.first_index + number
        with traced("pair", {"index": index}) if _is_traced(number) else untraced():
            return await self._make_in_turn(maker, index, job.priority)

    async def _make_in_turn(self, maker: PairMaker[AnyPair], index: int, priority: Priority) -> AnyPair:
        async with self._slots.slot(priority):
            made = False
            self._observer.pair_started()
            try:
                pair = await maker.make(index)
                made = True
            finally:
                self._observer.pair_ended(made)
        return pair


def _is_traced(number: int) -> bool:
    """Whether the pair that a stream makes as its ``number``-th, from 0, is in the stream's trace."""
    return number < _TRACED_FIRST or number % _TRACED_EVERY == 0
