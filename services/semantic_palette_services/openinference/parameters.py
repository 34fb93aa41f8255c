"""The parameters of a request that are known; every other is refused, for nobody likes to be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError
from semantic_palette.priority import Priority
from semantic_palette_services.limits import MAX_UINT64
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb

_KNOWN = (
    "bundle_digest",
    "deterministic",
    "index",
    "priority",
    "seed",
    "timeout",
    "triton_enable_empty_final_response",
)
_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferOptions:
    """How to run a model.

    Attributes:
        bundle_digest: the digest that the bundle must have; empty for any.
        deterministic: the same bytes for the same sample, alone or in any batch.
        seed: of the noise that takes the place of the input ``z``; None where ``z`` is given.
        index: of the first sample; those after it have the indices that follow.
        timeout: seconds that the answer may take; None for any.
        priority: what the samples go before.
        final_response: whether an answer shall say that it is the last one to its request.
    """

    bundle_digest: str = ""
    deterministic: bool = False
    seed: int | None = None
    index: int = 0
    timeout: float | None = None
    priority: Priority = Priority.INTERACTIVE
    final_response: bool = False


def read_parameters(parameters: Mapping[str, pb.InferParameter]) -> InferOptions:
    """Read the parameters of a request.

    Raises:
        InvalidInputError: a parameter is unknown, of another type, or out of range.
    """
    for name in (*_SEQUENCES, *sorted(parameters.keys() - set(_KNOWN))):
        if name in parameters:
            known = f"known parameters are {', '.join(_KNOWN)}"
            allowed = "there are no sequences, for models have no state" if name in _SEQUENCES else known
            raise InvalidInputError(f"parameters[{name[:80]}]", _value(parameters[name]), allowed)
    seed = _whole(parameters, "seed")
    if seed is None and "index" in parameters:
        allowed = "it is allowed with the parameter seed alone"
        raise InvalidInputError("parameters[index]", _value(parameters["index"]), allowed)
    microseconds = _whole(parameters, "timeout")
    return InferOptions(
        bundle_digest=_text(parameters, "bundle_digest"),
        deterministic=_truth(parameters, "deterministic"),
        seed=seed,
        index=_whole(parameters, "index") or 0,
        timeout=microseconds / 1e6 if microseconds else None,  # 0 is Triton's "none"
        # Triton's levels: 0 is the default, 1 the highest.
        priority=Priority.INTERACTIVE if (_whole(parameters, "priority") or 0) < 2 else Priority.BULK,
        final_response=_truth(parameters, "triton_enable_empty_final_response"),
    )


def check_indices(options: InferOptions, count: int) -> None:
    """Check that the last of ``count`` indices still fits 64 bits.

    Raises:
        InvalidInputError: it does not.
    """
    most = MAX_UINT64 - (count - 1)
    if options.index > most:
        raise InvalidInputError("parameters[index]", options.index, f"0 to {most} is, for {count} samples")


def _whole(parameters: Mapping[str, pb.InferParameter], name: str) -> int | None:
    if name not in parameters:
        return None
    value = _value(parameters[name])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        allowed = "a whole number from 0 (int64_param or uint64_param) is"
        raise InvalidInputError(f"parameters[{name}]", value, allowed)
    return value


def _truth(parameters: Mapping[str, pb.InferParameter], name: str) -> bool:
    value = _value(parameters[name]) if name in parameters else False
    if not isinstance(value, bool):
        raise InvalidInputError(f"parameters[{name}]", value, "true or false (bool_param) is")
    return value


def _text(parameters: Mapping[str, pb.InferParameter], name: str) -> str:
    value = _value(parameters[name]) if name in parameters else ""
    if not isinstance(value, str):
        raise InvalidInputError(f"parameters[{name}]", value, "a text (string_param) is")
    return value


def _value(parameter: pb.InferParameter) -> object:
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)
