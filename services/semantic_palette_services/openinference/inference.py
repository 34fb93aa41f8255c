"""From a request of the protocol to its answer: names, parameters and tensors checked, samples run, outputs written."""

from __future__ import annotations

import asyncio

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.access.callers import quota_of_caller
from semantic_palette_services.concurrency import WorkerPool
from semantic_palette_services.limits import Limits, check_count
from semantic_palette_services.openinference.catalogue import ExposedModel, ModelCatalogue
from semantic_palette_services.openinference.checks import check_contents
from semantic_palette_services.openinference.operation import Arrays, draw_noise, draws_noise, infer_all
from semantic_palette_services.openinference.parameters import InferOptions, check_indices, read_parameters
from semantic_palette_services.openinference.tensors import (
    check_inputs,
    check_outputs,
    is_raw,
    read_inputs,
    sample_bytes,
    write_outputs,
)
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.slots import work_as


class Inference:
    """Answers requests.

    Args:
        catalogue: the models.
        pool: threads for conversions.
        limits: what one request may ask for.
    """

    def __init__(self, catalogue: ModelCatalogue, pool: WorkerPool, limits: Limits) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._limits = limits

    async def run(
        self, request: pb.ModelInferRequest, deadline: float | None, *, streamed: bool
    ) -> pb.ModelInferResponse:
        """The model's outputs for the samples of a request.

        Args:
            request: the request.
            deadline: when the answer is worth nothing any more, in the event loop's time.
            streamed: whether the request is one of a stream, which is slowed down to the caller's quota where a call
                of its own is refused.

        Raises:
            UnknownModelError: there is no such model.
            InvalidInputError: something in the request is not allowed; names it.
            BundleMismatchError: the request is pinned to a digest that is not served.
            QuotaExceededError: the caller may not have so many samples now.
            UnauthenticatedError: the token that began the stream has been revoked.
            RuntimeServiceError: the model is overloaded, stopping or failed.
        """
        options = read_parameters(request.parameters)
        work_as(options.priority)
        digest = options.bundle_digest
        with self._catalogue.lease(request.model_name, request.model_version, digest) as model:
            return await self._run(model, request, options, deadline, streamed=streamed)

    async def _run(
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
        if streamed:
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
