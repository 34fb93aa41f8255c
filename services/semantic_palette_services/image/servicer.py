"""gRPC face of the image operations."""

from __future__ import annotations

from semantic_palette.priority import Priority
from semantic_palette.v1 import image_service_pb2 as pb
from semantic_palette.v1.image_service_pb2_grpc import ImageServiceServicer
from semantic_palette_services import codecs
from semantic_palette_services.access.callers import quota_of_caller
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.bundle_selection import BundleView
from semantic_palette_services.call_context import Context, deadline_of
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.image.operation import ImageOperation, ImageOptions, ImageRequest
from semantic_palette_services.image.style_cache import StyleReference
from semantic_palette_services.limits import Limits, check_count
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.slots import work_as


class ImageServicer(ImageServiceServicer):
    """Converts, validates and calls the `ImageOperation` of the bundle that a request wants."""

    def __init__(self, bundles: BundleRegistry[BundleOperations], pool: WorkerPool, limits: Limits) -> None:
        self._bundles = bundles
        self._pool = pool
        self._limits = limits

    async def TranslateLayouts(  # noqa: N802 - the name of the RPC
        self, request: pb.TranslateLayoutsRequest, context: Context
    ) -> pb.TranslateLayoutsResponse:
        """Images, in the order of the items."""
        with self._bundles.lease(codecs.selection_from_proto(request.bundle)) as operations:
            return await self._translate(request, operations.image, deadline_of(context))

    async def _translate(
        self, request: pb.TranslateLayoutsRequest, operation: ImageOperation, deadline: float | None
    ) -> pb.TranslateLayoutsResponse:
        bundle = operation.bundle
        count = len(request.items)
        check_count("items", count, self._limits.items_of(bundle.height * bundle.width * 3))
        options = ImageOptions(
            encoding=codecs.image_encoding_from_proto(request.image_format, request.image_quality),
            deterministic=request.deterministic,
            priority=codecs.priority_from_proto(request.priority, Priority.INTERACTIVE),
        )
        work_as(options.priority)
        styled = operation.styled
        references = sum(item.HasField("reference") for item in request.items)
        with operation.reserve(count, references, options.priority) as rooms:
            quota_of_caller().spend(count)
            requests = await self._pool.map(
                lambda entry: _decode(entry[1], bundle, styled, f"items[{entry[0]}]"), enumerate(request.items)
            )
            images = await operation.translate_all(requests, options, deadline, rooms)
        return pb.TranslateLayoutsResponse(
            bundle=codecs.bundle_to_proto(bundle),
            images=[codecs.image_to_proto(image) for image in images],
            engine=codecs.engine_to_proto(operation.engine(options)),
        )


def _decode(item: pb.ImageItem, bundle: BundleView, styled: bool, field: str) -> ImageRequest:
    labels = codecs.layout_from_proto(item.layout, bundle, f"{field}.layout")
    reference = None
    if styled and item.HasField("reference"):
        field = f"{field}.reference"
        image = codecs.pixels_from_proto(item.reference.image, bundle, f"{field}.image")
        reference = StyleReference(image, codecs.layout_from_proto(item.reference.layout, bundle, f"{field}.layout"))
    return ImageRequest(labels, item.seed, item.index, reference)
