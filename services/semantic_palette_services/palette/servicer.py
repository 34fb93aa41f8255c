"""gRPC face of the palette operations."""

from __future__ import annotations

from semantic_palette.label_space import LabelSpace
from semantic_palette.v1 import palette_service_pb2 as pb
from semantic_palette.v1.palette_service_pb2_grpc import PaletteServiceServicer
from semantic_palette_services import codecs
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.call_context import Context
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.limits import Limits, check_count, check_range_end
from semantic_palette_services.palette.operation import DrawnPalette, PaletteOperation
from semantic_palette_services.runtime.registry import BundleRegistry


class PaletteServicer(PaletteServiceServicer):
    """Converts, validates and calls the `PaletteOperation` of the bundle that a request wants."""

    def __init__(self, bundles: BundleRegistry[BundleOperations], pool: WorkerPool, limits: Limits) -> None:
        self._bundles = bundles
        self._pool = pool
        self._limits = limits

    async def GetLabelSpace(  # noqa: N802 - the name of the RPC
        self, request: pb.GetLabelSpaceRequest, context: Context
    ) -> pb.GetLabelSpaceResponse:
        """The label space and the size of the bundle."""
        with self._bundles.lease(codecs.selection_from_proto(request.bundle)) as operations:
            bundle = operations.loaded
            return pb.GetLabelSpaceResponse(
                bundle=codecs.bundle_to_proto(bundle),
                name=bundle.label_space.name,
                classes=codecs.label_classes_to_proto(bundle.label_space),
                height=bundle.height,
                width=bundle.width,
                operations=sorted(bundle.operations),
                styled=bundle.styled,
            )

    async def SamplePalettes(  # noqa: N802 - the name of the RPC
        self, request: pb.SamplePalettesRequest, context: Context
    ) -> pb.SamplePalettesResponse:
        """Palettes drawn from the palette model."""
        with self._bundles.lease(codecs.selection_from_proto(request.bundle)) as operations:
            return await self._sample(request, operations.palette)

    async def _sample(
        self, request: pb.SamplePalettesRequest, operation: PaletteOperation
    ) -> pb.SamplePalettesResponse:
        check_count("count", request.count, self._limits.max_palettes)
        check_range_end(request.first_index, request.count)
        constraints = codecs.constraints_from_proto(request.constraints)
        drawn = await operation.sample(request.seed, request.first_index, request.count, constraints)
        bundle = operation.bundle
        palettes = await self._pool.map(lambda palette: _to_proto(palette, bundle.label_space), drawn)
        return pb.SamplePalettesResponse(bundle=codecs.bundle_to_proto(bundle), palettes=palettes)


def _to_proto(drawn: DrawnPalette, space: LabelSpace) -> pb.SampledPalette:
    return pb.SampledPalette(
        palette=codecs.palette_to_proto(space, drawn.palette),
        origin=codecs.origin_to_proto(drawn.origin),
        index=drawn.index,
    )
