"""Stages in other processes, over gRPC.

Every sample is its own unary call: the server at the other end forms the batches, out of the calls of every factory,
and calls spread over its replicas. gRPC itself retries what another moment or another replica may answer.
"""

from __future__ import annotations

import asyncio

import numpy as np
from grpc import aio

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
from semantic_palette_services import codecs
from semantic_palette_services.factory.stages import ImageTask, LayoutTask, PinnedBundle, StagedImage, StagedLayout
from semantic_palette_services.grpc_options import channel_options, channel_target
from semantic_palette_services.palette.operation import DrawnPalette


class StageChannel:
    """A channel to the replicas of one service.

    Args:
        address: ``HOST:PORT`` or any gRPC target.
        timeout: the most seconds that one call may take, however much time the caller has left.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self.address = address
        self.channel = aio.insecure_channel(channel_target(address), options=channel_options())
        self._timeout = timeout

    def timeout(self, deadline: float | None) -> float:
        """Seconds for a call that starts now."""
        if deadline is None:
            return self._timeout
        return min(self._timeout, max(deadline - asyncio.get_running_loop().time(), 0.0))

    async def close(self) -> None:
        """Close the connections; calls in flight are cancelled."""
        await self.channel.close()


class RemotePaletteStage:
    """The palette service at an address."""

    def __init__(self, channel: StageChannel) -> None:
        self._channel = channel
        self._stub = palette_service_pb2_grpc.PaletteServiceStub(channel.channel)  # type: ignore[no-untyped-call]

    async def pin(self, name: str, digest: str, deadline: float | None) -> PinnedBundle:
        """See `PaletteStage.pin`."""
        request = palette_service_pb2.GetLabelSpaceRequest(bundle=common_pb2.BundleSelector(name=name, digest=digest))
        response = await self._stub.GetLabelSpace(request, timeout=self._channel.timeout(deadline))
        bundle = response.bundle
        return PinnedBundle(
            bundle.name,
            bundle.version,
            bundle.digest,
            codecs.label_space_from_proto(response),
            response.height,
            response.width,
        )

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
        response = await self._stub.SamplePalettes(request, timeout=self._channel.timeout(deadline))
        return [
            DrawnPalette(
                codecs.palette_from_proto(bundle.label_space, drawn.palette, "palette"),
                drawn.index,
                PaletteOrigin.PROJECTED
                if drawn.origin == common_pb2.PALETTE_ORIGIN_PROJECTED
                else PaletteOrigin.SAMPLED,
            )
            for drawn in response.palettes
        ]


class RemoteLayoutStage:
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
        )
        response = await self._stub.GenerateLayouts(request, timeout=self._channel.timeout(deadline))
        (layout,) = response.layouts
        return StagedLayout(
            codecs.layout_from_proto(layout.layout, bundle, "layout"),
            codecs.palette_from_proto(bundle.label_space, layout.achieved, "achieved"),
            layout.kl,
            codecs.engine_from_proto(response.engine),
        )


class RemoteImageStage:
    """The image service at an address."""

    def __init__(self, channel: StageChannel) -> None:
        self._channel = channel
        self._stub = image_service_pb2_grpc.ImageServiceStub(channel.channel)  # type: ignore[no-untyped-call]

    async def translate(self, bundle: PinnedBundle, task: ImageTask, deadline: float | None) -> StagedImage:
        """See `ImageStage.translate`."""
        layout = common_pb2.LabelMap(
            encoding=common_pb2.LABEL_ENCODING_RAW,
            height=bundle.height,
            width=bundle.width,
            data=np.ascontiguousarray(task.labels).tobytes(),
        )
        request = image_service_pb2.TranslateLayoutsRequest(
            bundle=_selector(bundle),
            items=[image_service_pb2.ImageItem(layout=layout, seed=task.seed, index=task.index)],
            image_format=codecs.image_format_to_proto(task.encoding.format),
            image_quality=task.encoding.quality,
            deterministic=task.deterministic,
        )
        response = await self._stub.TranslateLayouts(request, timeout=self._channel.timeout(deadline))
        (image,) = response.images
        return StagedImage(codecs.image_from_proto(image), codecs.engine_from_proto(response.engine))


def _selector(bundle: PinnedBundle) -> common_pb2.BundleSelector:
    return common_pb2.BundleSelector(name=bundle.name, digest=bundle.digest)
