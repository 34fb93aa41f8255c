"""Making pairs from palettes or the caller's layouts: palette to layout to image."""

from __future__ import annotations

from semantic_palette.pair import BundleIdentity, Pair, Provenance
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.encoding import encode_labels_in
from semantic_palette_services.factory.jobs import GivenLayouts, PairJob
from semantic_palette_services.factory.layout_supply import (
    GeneratedLayoutSupply,
    GivenLayoutSupply,
    LayoutSupply,
    SuppliedLayout,
)
from semantic_palette_services.factory.maker import SERVICE_VERSION
from semantic_palette_services.factory.palette_feed import PaletteFeed
from semantic_palette_services.factory.stages import ImageTask, PinnedBundle, StagedImage, Stages
from semantic_palette_services.tracing import traced


class PairGenerator:
    """Makes the pairs of one stream; see `PairMaker`.

    Args:
        stages: what makes palettes, layouts and images.
        pool: threads to encode layouts in.
        bundle: the bundle that the stream is pinned to.
        job: what is asked for.
        deadline: of the stream, in the event loop's time.
    """

    def __init__(
        self, stages: Stages, pool: WorkerPool, bundle: PinnedBundle, job: PairJob, deadline: float | None
    ) -> None:
        self._stages = stages
        self._pool = pool
        self._bundle = bundle
        self._job = job
        self._deadline = deadline
        self._supply = _supply(stages, bundle, job, deadline)

    async def make(self, index: int) -> Pair:
        """See `PairMaker.make`."""
        job = self._job
        layout = await self._supply.layout(index)
        encoding = job.image_encoding
        task = ImageTask(layout.labels, job.seed, index, encoding, job.deterministic, priority=job.priority)
        with traced("image"):
            staged = await self._stages.image.translate(self._bundle, task, self._deadline)
        label_data = await encode_labels_in(self._pool, layout.labels, job.label_encoding)
        return _pair(self._bundle, job, index, layout, label_data, staged)

    def forget_before(self, index: int) -> None:
        """See `PairMaker.forget_before`."""
        self._supply.forget_before(index)

    async def close(self) -> None:
        """See `PairMaker.close`."""
        await self._supply.close()


def _supply(stages: Stages, bundle: PinnedBundle, job: PairJob, deadline: float | None) -> LayoutSupply:
    if isinstance(job.source, GivenLayouts):
        return GivenLayoutSupply(job.source.layouts, bundle.label_space.num_classes)
    return GeneratedLayoutSupply(
        stage=stages.layout,
        bundle=bundle,
        feed=PaletteFeed(
            stages.palette,
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
        priority=job.priority,
    )


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
        service_version=SERVICE_VERSION,
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
