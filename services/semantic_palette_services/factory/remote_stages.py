"""Stages in other processes, over gRPC.

Every sample is its own unary call: the server at the other end forms the batches, out of the calls of every factory,
and calls spread over its replicas. gRPC itself retries what another moment or another replica may answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from grpc import aio

from semantic_palette.constraints import Constraints
from semantic_palette.errors import SemanticPaletteError
from semantic_palette.grpc_conventions import channel_target
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
from semantic_palette_services.grpc_options import channel_options
from semantic_palette_services.palette.operation import DrawnPalette

Answer = TypeVar("Answer")
AnyAnswer = TypeVar("AnyAnswer", covariant=True)
Result = TypeVar("Result")


class Method(Protocol[AnyAnswer]):
    """A unary method of a stub."""

    def __call__(self, request: Message, *, timeout: float) -> Awaitable[AnyAnswer]:
        """Begin a call."""


class StageUnavailableError(SemanticPaletteError):
    """A service that the factory needs gave up a call: it was stopped, or the call would take too long.

    Another attempt, by this call's caller, may find another replica or a shorter queue.
    """

    def __init__(self, address: str, code: grpc.StatusCode) -> None:
        super().__init__(f"{address}: the service gave up a call with {code.name}")
        self.address = address


class StageAnswerError(SemanticPaletteError):
    """A service that the factory needs answers with something else than the contract promises."""


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

    async def ask(
        self, method: Method[Answer], request: Message, deadline: float | None, read: Callable[[Answer], Result]
    ) -> Result:
        """Call a method and read its answer.

        Args:
            method: the method, of a stub on this channel.
            request: what to ask.
            deadline: when the caller's time is over, in the event loop's time.
            read: turns the answer into the result.

        Raises:
            StageUnavailableError: the service gave the call up, which is not for want of the caller's time.
            StageAnswerError: the answer is not what the contract promises.
            AioRpcError: the service answered with another status.
        """
        loop = asyncio.get_running_loop()
        left = math.inf if deadline is None else max(deadline - loop.time(), 0.0)
        try:
            answer = await method(request, timeout=min(self._timeout, left))
        except aio.AioRpcError as error:
            cancelled = error.code() is grpc.StatusCode.CANCELLED
            # Where the caller has longer than a call may take, only that limit has passed, or will.
            limited = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and left > self._timeout
            if cancelled or limited:
                raise StageUnavailableError(self.address, error.code()) from error
            raise
        try:
            return read(answer)
        except ValueError as error:  # of which InvalidInputError is one, that would blame our caller
            raise StageAnswerError(f"{self.address}: the answer is malformed: {error}") from error

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
        return await self._channel.ask(
            self._stub.GenerateLayouts, request, deadline, lambda answer: _read_layout(answer, bundle)
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
        return await self._channel.ask(self._stub.TranslateLayouts, request, deadline, _read_image)


def _selector(bundle: PinnedBundle) -> common_pb2.BundleSelector:
    return common_pb2.BundleSelector(name=bundle.name, digest=bundle.digest)


def _read_bundle(answer: palette_service_pb2.GetLabelSpaceResponse) -> PinnedBundle:
    bundle = answer.bundle
    space = codecs.label_space_from_proto(answer)
    return PinnedBundle(bundle.name, bundle.version, bundle.digest, space, answer.height, answer.width)


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


def _read_image(answer: image_service_pb2.TranslateLayoutsResponse) -> StagedImage:
    (image,) = answer.images
    return StagedImage(codecs.image_from_proto(image), codecs.engine_from_proto(answer.engine))
