"""Streams of pairs: palette to layout to image, several samples at a time, in order, no faster than they are read."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from semantic_palette.pair import BundleIdentity, Pair, Provenance
from semantic_palette_services.concurrency import WorkerPool, cancel_and_wait
from semantic_palette_services.encoding import LabelEncoding, encode_labels
from semantic_palette_services.factory.jobs import GivenLayouts, PairJob
from semantic_palette_services.factory.layout_supply import (
    GeneratedLayoutSupply,
    GivenLayoutSupply,
    LayoutSupply,
    SuppliedLayout,
)
from semantic_palette_services.factory.palette_feed import PaletteFeed
from semantic_palette_services.factory.stages import ImageTask, PinnedBundle, StagedImage, Stages
from semantic_palette_services.limits import TooManyCallsError
from semantic_palette_services.runtime.errors import DrainingError

_SERVICE_VERSION = importlib.metadata.version("semantic-palette")


class PairObserver(Protocol):
    """Is told about pairs in the making; must be quick."""

    def pair_started(self) -> None:
        """The making of a pair has begun."""

    def pair_ended(self, made: bool) -> None:
        """The pair is made, or has failed or been given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryLimits:
    """How much a factory does at a time."""

    window: int
    """Pairs of one stream in the making or waiting to be read: a few batches, so that a device always finds the next
    batch ready."""
    max_in_flight: int
    """Pairs of all streams in the making. Below the bound of the models' queues, so that streams wait for each other
    instead of failing each other."""
    max_streams: int
    """Streams at the same time."""


class FactoryOperation:
    """Makes streams of pairs.

    Args:
        stages: what makes palettes, layouts and images.
        pool: threads to encode layouts in.
        observer: is told about pairs in the making.
        limits: how much is done at a time.
    """

    def __init__(self, stages: Stages, pool: WorkerPool, observer: PairObserver, limits: FactoryLimits) -> None:
        self._stages = stages
        self._pool = pool
        self._observer = observer
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.max_in_flight)
        self._open_streams = 0
        self._draining = False

    def drain(self) -> None:
        """Begin no more pairs: every stream finishes those begun, then fails with DrainingError."""
        self._draining = True

    async def pin(self, name: str, digest: str, deadline: float | None = None) -> PinnedBundle:
        """The bundle for a new stream.

        Raises:
            BundleNotFoundError: the bundle is not served.
            BundleMismatchError: another digest of it is served.
        """
        return await self._stages.palette.pin(name, digest, deadline)

    async def stream(
        self, bundle: PinnedBundle, job: PairJob, deadline: float | None = None
    ) -> AsyncGenerator[Pair, None]:
        """Make pairs, in order of index; `Pair.label_data` is encoded as the job says.

        Pairs are made ahead of the reader only as far as the window reaches. Closing the iterator gives up every pair
        in the making; close it (``contextlib.aclosing``) wherever it may be left early.

        Raises:
            TooManyCallsError: no stream can be added.
            DrainingError: the server stops; the pairs that were begun have been yielded.
        """
        if self._draining:
            raise DrainingError("factory")
        if self._open_streams >= self._limits.max_streams:
            raise TooManyCallsError("streams of pairs", self._limits.max_streams)
        self._open_streams += 1
        supply = self._supply(bundle, job, deadline)
        window: deque[asyncio.Task[Pair]] = deque()
        started = 0
        try:
            while window or started < job.count:
                while started < job.count and len(window) < self._limits.window and not self._draining:
                    making = self._make(bundle, job, supply, job.first_index + started, deadline)
                    window.append(asyncio.create_task(making))
                    started += 1
                if not window:
                    raise DrainingError("factory")
                pair = await window[0]
                window.popleft()
                supply.forget_before(pair.index)
                yield pair
        finally:
            self._open_streams -= 1
            await cancel_and_wait(window)
            await supply.close()

    def _supply(self, bundle: PinnedBundle, job: PairJob, deadline: float | None) -> LayoutSupply:
        if isinstance(job.source, GivenLayouts):
            return GivenLayoutSupply(job.source.layouts, bundle.label_space.num_classes)
        return GeneratedLayoutSupply(
            stage=self._stages.layout,
            bundle=bundle,
            feed=PaletteFeed(
                self._stages.palette,
                bundle,
                job.source,
                seed=job.seed,
                first_index=job.first_index,
                count=job.count,
                deadline=deadline,
            ),
            seed=job.seed,
            adherence=job.adherence,
            deterministic=job.deterministic,
            constraints=job.constraints,
            deadline=deadline,
        )

    async def _make(
        self, bundle: PinnedBundle, job: PairJob, supply: LayoutSupply, index: int, deadline: float | None
    ) -> Pair:
        async with self._slots:
            made = False
            self._observer.pair_started()
            try:
                layout = await supply.layout(index)
                task = ImageTask(layout.labels, job.seed, index, job.image_encoding, job.deterministic)
                staged = await self._stages.image.translate(bundle, task, deadline)
                label_data = await self._encode(layout, job.label_encoding)
                made = True
            finally:
                self._observer.pair_ended(made)
        return _pair(bundle, job, index, layout, label_data, staged)

    async def _encode(self, layout: SuppliedLayout, encoding: LabelEncoding) -> bytes:
        if encoding is LabelEncoding.RAW:
            # A copy of the bytes costs less than the way to a thread and back.
            return encode_labels(layout.labels, encoding)
        return await self._pool.run(encode_labels, layout.labels, encoding)


def _pair(
    bundle: PinnedBundle, job: PairJob, index: int, layout: SuppliedLayout, label_data: bytes, staged: StagedImage
) -> Pair:
    provenance = Provenance(
        bundle=BundleIdentity(bundle.name, bundle.version, bundle.digest),
        seed=job.seed,
        index=index,
        adherence=job.adherence,
        deterministic=job.deterministic,
        palette_origin=layout.origin,
        layout_engine=layout.engine,
        image_engine=staged.engine,
        service_version=_SERVICE_VERSION,
    )
    return Pair(
        index=index,
        labels=layout.labels,
        label_data=label_data,
        image_data=staged.image.data,
        image_format=staged.image.format,
        requested=layout.requested,
        achieved=layout.achieved,
        kl=layout.kl,
        provenance=provenance,
    )
