"""Stages in other processes, over gRPC.

Every sample is its own unary call: the server at the other end forms the batches, out of the calls of every factory,
and calls spread over its replicas. gRPC itself retries what another moment or another replica may answer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from semantic_palette.constraints import Constraints
from semantic_palette.pair import Adherence, PaletteOrigin
from semantic_palette.v1 import (
    common_pb2,
    image_service_pb2,
    image_service_pb2_grpc,
    layout_service_pb2,
    layout_service_pb2_grpc,
    palette_service_pb2,
    palette_service_pb2_grpc,
)
from semantic_palette_services import codecs, edit_codecs
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.encoding import ImageEncoding, ImageFormat, encode_image
from semantic_palette_services.factory.stage_channel import StageChannel
from semantic_palette_services.factory.stages import (
    EditTask,
    ImageTask,
    LayoutTask,
    PinnedBundle,
    StagedEdit,
    StagedImage,
    StagedLayout,
)
from semantic_palette_services.image.style_cache import StyleReference
from semantic_palette_services.palette.operation import DrawnPalette


class _RemoteStage:
    """A stage at an address."""

    def hold(self, bundle: PinnedBundle) -> AbstractContextManager[object]:
        """See `PaletteStage.hold`: here is nothing to hold."""
        return nullcontext()


class RemotePaletteStage(_RemoteStage):
    """The palette service at an address."""

    def __init__(self, channel: StageChannel) -> None:
        self._channel = channel
        self._stub = palette_service_pb2_grpc.PaletteServiceStub(channel.channel)  # type: ignore[no-untyped-call]

    async def pin(self, selection: BundleSelection, deadline: float | None) -> PinnedBundle:
        """See `PaletteStage.pin`."""
        wanted = common_pb2.BundleSelector(name=selection.name, digest=selection.digest, version=selection.version)
        request = palette_service_pb2.GetLabelSpaceRequest(bundle=wanted)
        return await self._channel.ask(self._stub.GetLabelSpace, request, deadline, _read_bundle)

    async def sample(
        self,
        bundle: PinnedBundle,
        seed: int,
        first_index: int,
        count: int,
        constraints: Constraints,
        deadline: float | None,
    ) -> list[DrawnPalette]:
        """See `PaletteStage.sample`."""
        request = palette_service_pb2.SamplePalettesRequest(
            bundle=_selector(bundle),
            count=count,
            seed=seed,
            first_index=first_index,
            constraints=codecs.constraints_to_proto(constraints),
        )
        return await self._channel.ask(
            self._stub.SamplePalettes, request, deadline, lambda answer: _read_palettes(answer, bundle)
        )


class RemoteLayoutStage(_RemoteStage):
    """The layout service at an address."""

    def __init__(self, channel: StageChannel) -> None:
        self._channel = channel
        self._stub = layout_service_pb2_grpc.LayoutServiceStub(channel.channel)  # type: ignore[no-untyped-call]

    async def generate(self, bundle: PinnedBundle, task: LayoutTask, deadline: float | None) -> StagedLayout:
        """See `LayoutStage.generate`."""
        exact = task.adherence is Adherence.EXACT
        item = layout_service_pb2.LayoutItem(
            palette=codecs.palette_to_proto(bundle.label_space, task.palette), seed=task.seed, index=task.index
        )
        request = layout_service_pb2.GenerateLayoutsRequest(
            bundle=_selector(bundle),
            items=[item],
            adherence=codecs.adherence_to_proto(task.adherence),
            deterministic=task.deterministic,
            label_encoding=common_pb2.LABEL_ENCODING_RAW,
            constraints=codecs.constraints_to_proto(task.constraints) if exact else None,
            priority=codecs.priority_to_proto(task.priority),
        )
        return await self._channel.ask(
            self._stub.GenerateLayouts, request, deadline, lambda answer: _read_layout(answer, bundle)
        )

    async def edit(self, bundle: PinnedBundle, task: EditTask, deadline: float | None) -> StagedEdit:
        """See `LayoutStage.edit`."""
        item = layout_service_pb2.EditItem(
            layout=edit_codecs.raw_layout_to_proto(task.labels),
            edit=edit_codecs.edit_to_proto(task.mask, task.edit),
            seed=task.seed,
            index=task.index,
        )
        request = layout_service_pb2.EditLayoutsRequest(
            bundle=_selector(bundle),
            items=[item],
            deterministic=task.deterministic,
            label_encoding=common_pb2.LABEL_ENCODING_RAW,
            priority=codecs.priority_to_proto(task.priority),
        )
        return await self._channel.ask(
            self._stub.EditLayouts, request, deadline, lambda answer: _read_edit(answer, bundle)
        )


class RemoteImageStage(_RemoteStage):
    """The image service at an address."""

    def __init__(self, channel: StageChannel) -> None:
        self._channel = channel
        self._stub = image_service_pb2_grpc.ImageServiceStub(channel.channel)  # type: ignore[no-untyped-call]

    async def translate(self, bundle: PinnedBundle, task: ImageTask, deadline: float | None) -> StagedImage:
        """See `ImageStage.translate`."""
        layout = edit_codecs.raw_layout_to_proto(task.labels)
        item = image_service_pb2.ImageItem(layout=layout, seed=task.seed, index=task.index)
        # Only where the bundle has no use for a reference is it left out: it weighs four bytes a pixel.
        if task.reference is not None and bundle.styled is not False:
            item.reference.CopyFrom(_reference(task.reference))
        request = image_service_pb2.TranslateLayoutsRequest(
            bundle=_selector(bundle),
            items=[item],
            image_format=codecs.image_format_to_proto(task.encoding.format),
            image_quality=task.encoding.quality,
            deterministic=task.deterministic,
            priority=codecs.priority_to_proto(task.priority),
        )
        return await self._channel.ask(self._stub.TranslateLayouts, request, deadline, _read_image)


def _selector(bundle: PinnedBundle) -> common_pb2.BundleSelector:
    return common_pb2.BundleSelector(name=bundle.name, digest=bundle.digest)


def _reference(reference: StyleReference) -> image_service_pb2.StyleReference:
    image = encode_image(reference.image, ImageEncoding(ImageFormat.RAW))
    return image_service_pb2.StyleReference(
        image=codecs.image_to_proto(image), layout=edit_codecs.raw_layout_to_proto(reference.labels)
    )


def _read_bundle(answer: palette_service_pb2.GetLabelSpaceResponse) -> PinnedBundle:
    bundle = answer.bundle
    space = codecs.label_space_from_proto(answer)
    operations = frozenset(answer.operations) if answer.operations else None
    styled = answer.styled if answer.HasField("styled") else None
    return PinnedBundle(
        bundle.name, bundle.version, bundle.digest, space, answer.height, answer.width, operations, styled
    )


def _read_palettes(answer: palette_service_pb2.SamplePalettesResponse, bundle: PinnedBundle) -> list[DrawnPalette]:
    return [
        DrawnPalette(
            codecs.palette_from_proto(bundle.label_space, drawn.palette, "palette"),
            drawn.index,
            PaletteOrigin.PROJECTED if drawn.origin == common_pb2.PALETTE_ORIGIN_PROJECTED else PaletteOrigin.SAMPLED,
        )
        for drawn in answer.palettes
    ]


def _read_layout(answer: layout_service_pb2.GenerateLayoutsResponse, bundle: PinnedBundle) -> StagedLayout:
    (layout,) = answer.layouts
    return StagedLayout(
        codecs.layout_from_proto(layout.layout, bundle, "layout"),
        codecs.palette_from_proto(bundle.label_space, layout.achieved, "achieved"),
        layout.kl,
        codecs.engine_from_proto(answer.engine),
    )


def _read_edit(answer: layout_service_pb2.EditLayoutsResponse, bundle: PinnedBundle) -> StagedEdit:
    (layout,) = answer.layouts
    return StagedEdit(
        codecs.layout_from_proto(layout.layout, bundle, "layout"),
        edit_codecs.shares_from_proto(bundle.label_space, layout.region),
        codecs.engine_from_proto(answer.engine),
    )


def _read_image(answer: image_service_pb2.TranslateLayoutsResponse) -> StagedImage:
    (image,) = answer.images
    return StagedImage(codecs.image_from_proto(image), codecs.engine_from_proto(answer.engine))
