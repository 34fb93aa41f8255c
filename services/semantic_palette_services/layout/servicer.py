"""gRPC face of the layout operations."""

from __future__ import annotations

from semantic_palette.label_space import LabelSpace
from semantic_palette.priority import Priority
from semantic_palette.v1 import layout_service_pb2 as pb
from semantic_palette.v1.layout_service_pb2_grpc import LayoutServiceServicer
from semantic_palette_services import codecs, edit_codecs
from semantic_palette_services.access.callers import quota_of_caller
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.call_context import Context, deadline_of
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.encoding import encode_labels
from semantic_palette_services.layout.edit_operation import EditOperation, EditRequest
from semantic_palette_services.layout.operation import LayoutOperation, LayoutOptions, LayoutRequest
from semantic_palette_services.limits import Limits, check_count
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.slots import work_as


class LayoutServicer(LayoutServiceServicer):
    """Converts, validates and calls `LayoutOperation` and `EditOperation` of the bundle that a request wants."""

    def __init__(self, bundles: BundleRegistry[BundleOperations], pool: WorkerPool, limits: Limits) -> None:
        self._bundles = bundles
        self._pool = pool
        self._limits = limits

    async def GenerateLayouts(  # noqa: N802 - the name of the RPC
        self, request: pb.GenerateLayoutsRequest, context: Context
    ) -> pb.GenerateLayoutsResponse:
        """Layouts, in the order of the items."""
        with self._bundles.lease(codecs.selection_from_proto(request.bundle)) as operations:
            return await self._generate(request, operations.layout, deadline_of(context))

    async def _generate(
        self, request: pb.GenerateLayoutsRequest, operation: LayoutOperation, deadline: float | None
    ) -> pb.GenerateLayoutsResponse:
        bundle = operation.bundle
        count = len(request.items)
        check_count("items", count, self._limits.items_of(bundle.height * bundle.width))
        encoding = codecs.label_encoding_from_proto(request.label_encoding)
        options = _options(request, bundle.label_space)
        work_as(options.priority)
        with operation.reserve(count, options) as room:
            quota_of_caller().spend(count)
            requests = await self._pool.map(
                lambda entry: _read(entry[1], bundle.label_space, f"items[{entry[0]}]"), enumerate(request.items)
            )
            layouts = await operation.generate_all(requests, options, deadline, room)
        data = await self._pool.map(lambda layout: encode_labels(layout.labels, encoding), layouts)
        return pb.GenerateLayoutsResponse(
            bundle=codecs.bundle_to_proto(bundle),
            layouts=[
                pb.GeneratedLayout(
                    layout=codecs.layout_to_proto(encoded, encoding, bundle.height, bundle.width),
                    achieved=codecs.palette_to_proto(bundle.label_space, layout.achieved),
                    kl=layout.kl,
                )
                for layout, encoded in zip(layouts, data, strict=True)
            ],
            engine=codecs.engine_to_proto(operation.engine(options)),
        )

    async def EditLayouts(  # noqa: N802 - the name of the RPC
        self, request: pb.EditLayoutsRequest, context: Context
    ) -> pb.EditLayoutsResponse:
        """Edited layouts, in the order of the items."""
        with self._bundles.lease(codecs.selection_from_proto(request.bundle)) as operations:
            return await self._edit(request, operations.edits, deadline_of(context))

    async def _edit(
        self, request: pb.EditLayoutsRequest, operation: EditOperation, deadline: float | None
    ) -> pb.EditLayoutsResponse:
        bundle = operation.bundle
        count = len(request.items)
        check_count("items", count, self._limits.items_of(bundle.height * bundle.width))
        encoding = codecs.label_encoding_from_proto(request.label_encoding)
        priority = codecs.priority_from_proto(request.priority, Priority.INTERACTIVE)
        work_as(priority)
        with operation.reserve(count, priority) as room:
            quota_of_caller().spend(count)
            requests = await self._pool.map(
                lambda entry: _read_edit(entry[1], operation, f"items[{entry[0]}]"), enumerate(request.items)
            )
            layouts = await operation.edit_all(requests, deadline, room, deterministic=request.deterministic)
        data = await self._pool.map(lambda layout: encode_labels(layout.labels, encoding), layouts)
        return pb.EditLayoutsResponse(
            bundle=codecs.bundle_to_proto(bundle),
            layouts=[
                pb.EditedLayout(
                    layout=codecs.layout_to_proto(encoded, encoding, bundle.height, bundle.width),
                    region=edit_codecs.shares_to_proto(bundle.label_space, layout.region),
                )
                for layout, encoded in zip(layouts, data, strict=True)
            ],
            engine=codecs.engine_to_proto(operation.engine(deterministic=request.deterministic)),
        )


def _read(item: pb.LayoutItem, space: LabelSpace, field: str) -> LayoutRequest:
    return LayoutRequest(codecs.palette_from_proto(space, item.palette, f"{field}.palette"), item.seed, item.index)


def _options(request: pb.GenerateLayoutsRequest, space: LabelSpace) -> LayoutOptions:
    constraints = codecs.constraints_from_proto(request.constraints)
    return LayoutOptions(
        adherence=codecs.adherence_from_proto(request.adherence),
        deterministic=request.deterministic,
        bounds=None if constraints.is_empty else constraints.bounds(space),
        priority=codecs.priority_from_proto(request.priority, Priority.INTERACTIVE),
    )


def _read_edit(item: pb.EditItem, operation: EditOperation, field: str) -> EditRequest:
    labels = codecs.layout_from_proto(item.layout, operation.bundle, f"{field}.layout")
    mask = edit_codecs.region_from_proto(item.edit.region, operation.bundle, f"{field}.edit.region")
    change = edit_codecs.change_from_proto(item.edit, f"{field}.edit")
    plan = operation.plan(labels, mask, change, f"{field}.edit")
    return EditRequest(labels, mask, plan, item.seed, item.index)
