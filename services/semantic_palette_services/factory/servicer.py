"""gRPC face of the factory operation."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import region_palette
from semantic_palette.pair import EditOrigin, Pair, Provenance
from semantic_palette.priority import Priority
from semantic_palette.v1 import factory_service_pb2 as pb
from semantic_palette.v1.common_pb2 import LabelMap
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceServicer
from semantic_palette_services import codecs, edit_codecs
from semantic_palette_services.access.callers import quota_of_caller
from semantic_palette_services.call_context import Context, deadline_of
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.encoding import EncodedImage, ImageFormat
from semantic_palette_services.factory.jobs import (
    EditJob,
    EditSource,
    GivenLayouts,
    GivenPalettes,
    PairJob,
    PairSource,
    SampledPalettes,
)
from semantic_palette_services.factory.operation import FactoryOperation
from semantic_palette_services.factory.stages import PinnedBundle
from semantic_palette_services.limits import Limits, check_count, check_range_end


class FactoryServicer(FactoryServiceServicer):
    """Converts, validates and calls `FactoryOperation`."""

    def __init__(self, operation: FactoryOperation, pool: WorkerPool, limits: Limits) -> None:
        self._operation = operation
        self._pool = pool
        self._limits = limits

    async def GeneratePairs(  # noqa: N802 - the name of the RPC
        self, request: pb.GeneratePairsRequest, context: Context
    ) -> None:
        """Pairs, in order of index.

        Each is written before the next is asked for: a write waits for the reader, and a cancelled call ends in this
        coroutine, so that what was in flight is given up at once rather than when a generator happens to be collected.
        """
        deadline = deadline_of(context)
        check_count("count", request.count, self._limits.max_pairs)
        check_range_end(request.first_index, request.count)
        selection = codecs.selection_from_proto(request.bundle)
        async with self._operation.pin(selection, deadline) as bundle:
            quota = quota_of_caller()
            with quota.stream(), self._operation.admit():
                job = await self._job(request, bundle)
                async with aclosing(self._operation.stream(bundle, job, deadline, quota)) as pairs:
                    async for pair in pairs:
                        await context.write(pb.GeneratePairsResponse(pair=_pair_to_proto(pair, bundle, job)))

    async def EditPairs(  # noqa: N802 - the name of the RPC
        self, request: pb.EditPairsRequest, context: Context
    ) -> None:
        """Edited pairs, in order of index; written as those of `GeneratePairs`."""
        deadline = deadline_of(context)
        check_count("count", request.count, self._limits.max_pairs)
        check_range_end(request.first_index, request.count)
        selection = codecs.selection_from_proto(request.bundle)
        async with self._operation.pin(selection, deadline) as bundle:
            # Decoded, they are kept for as long as the stream lasts: no more of them than a message can hold.
            most = self._limits.items_of(bundle.height * bundle.width * 4)
            check_count("sources", len(request.sources), most)
            quota = quota_of_caller()
            with quota.stream(), self._operation.admit():
                job = await self._edit_job(request, bundle)
                async with aclosing(self._operation.edit(bundle, job, deadline, quota)) as pairs:
                    async for pair in pairs:
                        region = edit_codecs.shares_to_proto(bundle.label_space, pair.region)
                        proto = _pair_to_proto(pair, bundle, job)
                        await context.write(pb.EditPairsResponse(pair=proto, region=region))

    async def _job(self, request: pb.GeneratePairsRequest, bundle: PinnedBundle) -> PairJob:
        return PairJob(
            source=await self._source(request, bundle),
            count=request.count,
            seed=request.seed,
            first_index=request.first_index,
            adherence=codecs.adherence_from_proto(request.adherence),
            deterministic=request.deterministic,
            label_encoding=codecs.label_encoding_from_proto(request.label_encoding),
            image_encoding=codecs.image_encoding_from_proto(request.image_format, request.image_quality),
            priority=codecs.priority_from_proto(request.priority, Priority.BULK),
        )

    async def _edit_job(self, request: pb.EditPairsRequest, bundle: PinnedBundle) -> EditJob:
        return EditJob(
            sources=await self._pool.map(
                lambda entry: _read_source(entry[1], bundle, entry[0]), enumerate(request.sources)
            ),
            count=request.count,
            seed=request.seed,
            first_index=request.first_index,
            deterministic=request.deterministic,
            label_encoding=codecs.label_encoding_from_proto(request.label_encoding),
            image_encoding=codecs.image_encoding_from_proto(request.image_format, request.image_quality),
            priority=codecs.priority_from_proto(request.priority, Priority.BULK),
        )

    async def _source(self, request: pb.GeneratePairsRequest, bundle: PinnedBundle) -> PairSource:
        match request.WhichOneof("source"):
            case "palettes":
                check_count("palettes.palettes", len(request.palettes.palettes), self._limits.max_palettes)
                return GivenPalettes(await self._pool.run(_read_palettes, request.palettes, bundle))
            case "layouts":
                check_count("layouts.layouts", len(request.layouts.layouts), self._limits.max_layouts)
                read = partial(_read_layout, bundle=bundle)
                return GivenLayouts(await self._pool.map(read, enumerate(request.layouts.layouts)))
            case _:
                constraints = codecs.constraints_from_proto(request.sampling.constraints)
                constraints.bounds(bundle.label_space)  # Checked before the first palette is drawn, here or elsewhere.
                return SampledPalettes(constraints)


def _read_palettes(message: pb.PaletteList, bundle: PinnedBundle) -> list[NDArray[np.float64]]:
    return [
        codecs.palette_from_proto(bundle.label_space, palette, f"palettes.palettes[{position}]")
        for position, palette in enumerate(message.palettes)
    ]


def _read_layout(entry: tuple[int, LabelMap], bundle: PinnedBundle) -> NDArray[np.uint8]:
    position, layout = entry
    return codecs.layout_from_proto(layout, bundle, f"layouts.layouts[{position}]")


def _read_source(message: pb.EditSource, bundle: PinnedBundle, position: int) -> EditSource:
    field = f"sources[{position}]"
    labels = codecs.layout_from_proto(message.layout, bundle, f"{field}.layout")
    image = codecs.pixels_from_proto(message.image, bundle, f"{field}.image")
    mask = edit_codecs.region_from_proto(message.edit.region, bundle, f"{field}.edit.region")
    edit = edit_codecs.change_from_proto(message.edit, f"{field}.edit")
    origin = EditOrigin(
        message.seed,
        message.index,
        position,
        sha256(labels.tobytes()).hexdigest(),
        sha256(image.tobytes()).hexdigest(),
        edit_codecs.area_from_proto(message.edit.region, mask),
        edit.target,
        edit.deltas,
    )
    source = EditSource(labels=labels, image=image, mask=mask, edit=edit, origin=origin)
    # Checked before the first edit is made, here or elsewhere, and by the names that this request has.
    present = region_palette(source.labels, source.mask, bundle.label_space.num_classes)
    source.edit.requested(bundle.label_space, present, f"{field}.edit")
    return source


def _pair_to_proto(pair: Pair, bundle: PinnedBundle, job: PairJob | EditJob) -> pb.Pair:
    height, width = pair.labels.shape
    image = EncodedImage(pair.image_data, ImageFormat(pair.image_format), height, width)
    return pb.Pair(
        layout=codecs.layout_to_proto(pair.label_data, job.label_encoding, height, width),
        image=codecs.image_to_proto(image),
        requested=codecs.palette_to_proto(bundle.label_space, pair.requested),
        achieved=codecs.palette_to_proto(bundle.label_space, pair.achieved),
        kl=pair.kl,
        provenance=_provenance_to_proto(pair.provenance),
    )


def _provenance_to_proto(provenance: Provenance) -> pb.Provenance:
    layout_engine, edit = provenance.layout_engine, provenance.edit
    return pb.Provenance(
        bundle=codecs.bundle_to_proto(provenance.bundle),
        seed=provenance.seed,
        index=provenance.index,
        adherence=codecs.adherence_to_proto(provenance.adherence),
        deterministic=provenance.deterministic,
        palette_origin=codecs.origin_to_proto(provenance.palette_origin),
        layout_engine=None if layout_engine is None else codecs.engine_to_proto(layout_engine),
        image_engine=codecs.engine_to_proto(provenance.image_engine),
        service_version=provenance.service_version,
        edit=None if edit is None else edit_codecs.origin_to_proto(edit),
    )
