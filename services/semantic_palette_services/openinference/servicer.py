"""gRPC face of the Open Inference Protocol, version 2, with Triton's ModelStreamInfer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from grpc import aio

from semantic_palette.grpc_conventions import MAX_MESSAGE_BYTES
from semantic_palette.manifest import TensorSpec
from semantic_palette_services.access.callers import quota_of_caller
from semantic_palette_services.access.errors import UnauthenticatedError
from semantic_palette_services.call_context import Context, deadline_of
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.factory.maker import SERVICE_VERSION
from semantic_palette_services.limits import Limits
from semantic_palette_services.openinference.catalogue import ModelCatalogue, UnknownModelError
from semantic_palette_services.openinference.datatypes import data_type
from semantic_palette_services.openinference.inference import Inference
from semantic_palette_services.openinference.ordered_answers import answer_in_order
from semantic_palette_services.openinference.tensors import shape_of
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from semantic_palette_services.runtime.errors import DrainingError
from semantic_palette_services.server.decoding import decoded
from semantic_palette_services.server.errors import status_of

PLATFORM = "onnx_onnxv1"
EXTENSIONS = ("model_stream_infer", "parameters")


class ServerHealth(Protocol):
    """What the protocol says about the process."""

    @property
    def alive(self) -> bool:
        """Whether the process can go on, or should be replaced."""

    @property
    def ready(self) -> bool:
        """Whether the services serve now."""


class OpenInferenceServicer(GRPCInferenceServiceServicer):
    """Says what there is, and lets `Inference` answer requests, alone and in streams.

    Args:
        catalogue: the models.
        health: of the process.
        pool: threads for conversions.
        limits: what one request may ask for.
        stream_window: most requests of a stream that are answered at the same time.
    """

    def __init__(
        self, catalogue: ModelCatalogue, health: ServerHealth, pool: WorkerPool, limits: Limits, stream_window: int
    ) -> None:
        self._catalogue = catalogue
        self._health = health
        self._inference = Inference(catalogue, pool, limits)
        self._stream_window = stream_window
        self._stopping = asyncio.Event()

    def add_to(self, server: aio.Server) -> None:
        """Add this servicer to a server that has not started."""
        add_GRPCInferenceServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    def drain(self) -> None:
        """Let streams answer what they have read, and end."""
        self._stopping.set()

    async def ServerLive(  # noqa: N802 - the name of the RPC
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Whether the process works."""
        return pb.ServerLiveResponse(live=self._health.alive)

    async def ServerReady(  # noqa: N802 - the name of the RPC
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Whether all models can answer now."""
        return pb.ServerReadyResponse(ready=self._health.ready)

    async def ModelReady(  # noqa: N802 - the name of the RPC
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Whether one model can answer now; one that is not here is not ready, as Triton has it."""
        try:
            with self._catalogue.lease(request.name, request.version) as model:
                return pb.ModelReadyResponse(ready=self._health.ready and model.served.batcher.healthy)
        except (UnknownModelError, DrainingError):
            return pb.ModelReadyResponse(ready=False)

    async def ServerMetadata(  # noqa: N802 - the name of the RPC
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """What the server is."""
        return pb.ServerMetadataResponse(name="semantic-palette", version=SERVICE_VERSION, extensions=EXTENSIONS)

    async def ModelMetadata(  # noqa: N802 - the name of the RPC
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """What a model takes and gives."""
        with self._catalogue.lease(request.name, request.version) as model:
            entry = model.served.entry
            return pb.ModelMetadataResponse(
                name=model.name,
                versions=self._catalogue.versions(model),
                platform=PLATFORM,
                inputs=_metadata(entry.inputs),
                outputs=_metadata(entry.outputs),
            )

    async def ModelInfer(  # noqa: N802 - the name of the RPC
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """The model's outputs for N samples."""
        return await self._inference.run(request, deadline_of(context), streamed=False)

    async def ModelStreamInfer(  # noqa: N802 - the name of the RPC
        self, requests: object, context: Context
    ) -> None:
        """Answers to requests, in their order.

        Raises:
            DrainingError: the server stops; every request that was read has been answered.
            UnauthenticatedError: the token that began the stream has been revoked.
            QuotaExceededError: the caller has as many streams open as it may.
            InvalidInputError: what came is no request.
        """
        deadline = deadline_of(context)

        async def read() -> pb.ModelInferRequest | None:
            request = await context.read()
            return None if request is aio.EOF else decoded(request)

        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            return await self._infer_or_explain(request, deadline)

        with quota_of_caller().stream():
            ended = await answer_in_order(
                read,
                answer,
                context.write,
                weigh=pb.ModelInferRequest.ByteSize,
                window=self._stream_window,
                max_weight=MAX_MESSAGE_BYTES,
                stopping=self._stopping,
            )
        if not ended:
            raise DrainingError("server")

    async def _infer_or_explain(
        self, request: pb.ModelInferRequest, deadline: float | None
    ) -> pb.ModelStreamInferResponse:
        try:
            response = await self._inference.run(request, deadline, streamed=True)
        except UnauthenticatedError:
            raise
        except Exception as error:
            status = status_of(error)
            named = pb.ModelInferResponse(id=request.id)
            return pb.ModelStreamInferResponse(
                error_message=f"{status.code.name}: {status.message}", infer_response=named
            )
        return pb.ModelStreamInferResponse(infer_response=response)


def _metadata(specs: Sequence[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=data_type(spec).name, shape=shape_of(spec))
        for spec in specs
    ]
