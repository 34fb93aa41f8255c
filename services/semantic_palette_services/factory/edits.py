"""Making pairs from pairs: the layout is edited in a region, and what surrounds the region stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import frame_palette
from semantic_palette.pair import Adherence, BundleIdentity, EditedPair, EngineIdentity, PaletteOrigin, Provenance
from semantic_palette.palette import histogram, kl_divergence
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.encoding import (
    EncodedImage,
    ImageEncoding,
    ImageFormat,
    encode_image,
    encode_labels_in,
)
from semantic_palette_services.factory.jobs import EditJob, EditSource
from semantic_palette_services.factory.maker import SERVICE_VERSION
from semantic_palette_services.factory.stages import (
    EditTask,
    ImageTask,
    PinnedBundle,
    StagedEdit,
    Stages,
)
from semantic_palette_services.image.style_cache import StyleReference
from semantic_palette_services.tracing import traced


class PairEditor:
    """Makes the edited pairs of one stream; see `PairMaker`.

    Args:
        stages: what edits layouts and makes images.
        pool: threads to put images together in.
        bundle: the bundle that the stream is pinned to.
        job: what is asked for.
        deadline: of the stream, in the event loop's time.
    """

    def __init__(
        self, stages: Stages, pool: WorkerPool, bundle: PinnedBundle, job: EditJob, deadline: float | None
    ) -> None:
        self._stages = stages
        self._pool = pool
        self._bundle = bundle
        self._job = job
        self._deadline = deadline
        # One object a source for as long as the stream lasts: its styles are encoded once, not for every edit.
        self._references = [StyleReference(source.image, source.labels) for source in job.sources]

    async def make(self, index: int) -> EditedPair:
        """See `PairMaker.make`."""
        job, position = self._job, index % len(self._job.sources)
        source = job.sources[position]
        edit = EditTask(source.labels, source.mask, source.edit, job.seed, index, job.deterministic, job.priority)
        with traced("edit"):
            edited = await self._stages.layout.edit(self._bundle, edit, self._deadline)
        # The whole edited scene is drawn, so that what is new fits what surrounds it; then the old surroundings return.
        task = ImageTask(
            edited.labels,
            source.origin.seed,
            source.origin.index,
            ImageEncoding(ImageFormat.RAW),
            job.deterministic,
            self._references[position],
            job.priority,
        )
        with traced("image"):
            staged = await self._stages.image.translate(self._bundle, task, self._deadline)
        num_classes = self._bundle.label_space.num_classes
        frame = await self._pool.run(_compose, source, edited, staged.image, job.image_encoding, num_classes)
        label_data = await encode_labels_in(self._pool, edited.labels, job.label_encoding)
        return _pair(self._bundle, job, index, source, edited, label_data, frame, staged.engine)

    def forget_before(self, index: int) -> None:
        """See `PairMaker.forget_before`; the sources are kept, they come again."""

    async def close(self) -> None:
        """See `PairMaker.close`; nothing is under way that the stream does not know of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """What is counted and put together over a whole frame: the image, and its palettes ``[K]``."""

    image: EncodedImage
    requested: NDArray[np.float64]
    achieved: NDArray[np.float64]


def _compose(
    source: EditSource, edited: StagedEdit, drawn: EncodedImage, encoding: ImageEncoding, num_classes: int
) -> _Frame:
    pixels: NDArray[np.uint8] = np.frombuffer(drawn.data, dtype=np.uint8).reshape(source.image.shape)
    return _Frame(
        image=encode_image(np.where(source.mask[:, :, None], pixels, source.image), encoding),
        requested=frame_palette(source.labels, source.mask, edited.region.requested),
        achieved=histogram(edited.labels, num_classes),
    )


def _pair(
    bundle: PinnedBundle,
    job: EditJob,
    index: int,
    source: EditSource,
    edited: StagedEdit,
    label_data: bytes,
    frame: _Frame,
    image_engine: EngineIdentity,
) -> EditedPair:
    provenance = Provenance(
        bundle=BundleIdentity(bundle.name, bundle.version, bundle.digest),
        seed=job.seed,
        index=index,
        adherence=Adherence.NATURAL,
        deterministic=job.deterministic,
        palette_origin=PaletteOrigin.EDITED,
        layout_engine=edited.engine,
        image_engine=image_engine,
        service_version=SERVICE_VERSION,
        edit=source.origin,
    )
    return EditedPair(
        index=index,
        labels=edited.labels,
        label_data=label_data,
        image_data=frame.image.data,
        image_format=frame.image.format,
        requested=frame.requested,
        achieved=frame.achieved,
        kl=float(kl_divergence(frame.requested, frame.achieved)),
        provenance=provenance,
        region=edited.region,
    )
