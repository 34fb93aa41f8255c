"""gRPC face of the Open Inference Protocol, version 2, with Triton's ModelStreamInfer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from grpc import aio

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import TensorSpec
from semantic_palette_services.access.errors import UnauthenticatedError
from semantic_palette_services.call_context import Context, deadline_of, quota_of_caller
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.factory.maker import SERVICE_VERSION
from semantic_palette_services.limits import Limits, check_count
from semantic_palette_services.openinference.catalogue import ExposedModel, ModelCatalogue, UnknownModelError
from semantic_palette_services.openinference.checks import check_contents
from semantic_palette_services.openinference.datatypes import data_type
from semantic_palette_services.openinference.operation import Arrays, draw_noise, draws_noise, infer_all
from semantic_palette_services.openinference.ordered_answers import answer_in_order
from semantic_palette_services.openinference.parameters import InferOptions, check_indices, read_parameters
from semantic_palette_services.openinference.tensors import (
    check_inputs,
    check_outputs,
    is_raw,
    read_inputs,
    sample_bytes,
    shape_of,
    write_outputs,
)
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.openinference.v2.open_inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from semantic_palette_services.runtime.errors import DrainingError
from semantic_palette_services.server.decoding import decoded
from semantic_palette_services.server.errors import status_of
from semantic_palette_services.slots import work_as

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
    """Converts, validates and runs models.

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
        self._pool = pool
        self._limits = limits
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
        return await self._infer(request, deadline_of(context), streamed=False)

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
            window = self._stream_window
            if not await answer_in_order(read, answer, context.write, window=window, stopping=self._stopping):
                raise DrainingError("server")

    async def _infer_or_explain(
        self, request: pb.ModelInferRequest, deadline: float | None
    ) -> pb.ModelStreamInferResponse:
        try:
            response = await self._infer(request, deadline, streamed=True)
        except UnauthenticatedError:
            raise
        except Exception as error:
            status = status_of(error)
            named = pb.ModelInferResponse(id=request.id)
            return pb.ModelStreamInferResponse(
                error_message=f"{status.code.name}: {status.message}", infer_response=named
            )
        return pb.ModelStreamInferResponse(infer_response=response)

    async def _infer(
        self, request: pb.ModelInferRequest, deadline: float | None, *, streamed: bool
    ) -> pb.ModelInferResponse:
        options = read_parameters(request.parameters)
        work_as(options.priority)
        digest = options.bundle_digest
        with self._catalogue.lease(request.model_name, request.model_version, digest) as model:
            return await self._infer_with(model, request, options, deadline, streamed=streamed)

    async def _infer_with(
        self,
        model: ExposedModel,
        request: pb.ModelInferRequest,
        options: InferOptions,
        deadline: float | None,
        *,
        streamed: bool,
    ) -> pb.ModelInferResponse:
        deadline = _earlier(deadline, options.timeout)
        entry, raw = model.served.entry, is_raw(request)
        drawn = _drawn(model, options)
        outputs = check_outputs(request, entry.outputs)
        count = check_inputs(request, entry.inputs, drawn)
        check_count(
            f"inputs[{request.inputs[0].name}].shape[0]", count, self._limits.items_of(sample_bytes(outputs, raw=raw))
        )
        check_indices(options, count)
        quota = quota_of_caller()
        if streamed:  # Slowed down to the quota, where a call of its own is refused.
            for _ in range(count):
                await quota.begin_pair()
        with model.served.reserve(count, options.priority) as room:
            if not streamed:
                quota.spend(count)
            arrays = await self._pool.run(_read, request, model, options, count)
            answers = await infer_all(
                model.served, arrays, self._pool, deadline, room, deterministic=options.deterministic
            )
        response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
        _write_parameters(response, model, options)
        await self._pool.run(write_outputs, response, outputs, answers, raw=raw)
        return response


def _metadata(specs: Sequence[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=data_type(spec).name, shape=shape_of(spec))
        for spec in specs
    ]


def _earlier(deadline: float | None, timeout: float | None) -> float | None:
    if timeout is None:
        return deadline
    expiry = asyncio.get_running_loop().time() + timeout
    return expiry if deadline is None else min(deadline, expiry)


def _drawn(model: ExposedModel, options: InferOptions) -> frozenset[str]:
    """The inputs that a seed stands for."""
    if options.seed is None:
        return frozenset()
    if not draws_noise(model.served):
        raise InvalidInputError("parameters[seed]", options.seed, f"none is: {model.name} takes no noise z")
    return frozenset({"z"})


def _read(request: pb.ModelInferRequest, model: ExposedModel, options: InferOptions, count: int) -> Arrays:
    arrays = check_contents(read_inputs(request, model.served.entry.inputs), model.bundle.label_space)
    if options.seed is not None:
        arrays["z"] = draw_noise(model.served, options.seed, options.index, count)
    return arrays


def _write_parameters(response: pb.ModelInferResponse, model: ExposedModel, options: InferOptions) -> None:
    engine = model.served.engine_for(deterministic=options.deterministic)
    for name, value in (
        ("bundle_digest", model.bundle.digest),
        ("engine", engine.engine),
        ("engine_version", engine.engine_version),
        ("precision", engine.precision),
        ("model_digest", engine.model_digest),
    ):
        response.parameters[name].string_param = value
    if options.final_response:
        response.parameters["triton_final_response"].bool_param = True
