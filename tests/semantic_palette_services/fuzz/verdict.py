"""What is wrong with how a call ended: nothing, for a server that keeps its promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from fuzz.calls import Outcome
from fuzz.cases import Caller, Case
from semantic_palette.grpc_conventions import PUSHBACK_KEY, STATUS_DETAILS_KEY

_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What a healthy server may say to a caller that is patient. UNAVAILABLE is not among them: nothing is stopping."""

_SMALLEST_LIMIT = 1 << 16
"""Bytes of a request that every server takes, the admin port too."""


def faults(case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with the outcome of a case."""
    if outcome.error:
        return [outcome.error]
    if outcome.code is None or (case.caller is Caller.HASTY and outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED):
        return list(_answer_faults(case, outcome))
    if outcome.code is grpc.StatusCode.UNAUTHENTICATED and any(key == "authorization" for key, _ in case.metadata):
        return list(_refusal_faults(outcome))  # before the request is read
    if outcome.code is not grpc.StatusCode.OK and outcome.code not in _REFUSALS:
        return [f"{outcome.code.name} after {outcome.seconds:.1f} s: {outcome.details}"]
    if len(case.data) > _SMALLEST_LIMIT and "message larger than max" in outcome.details:
        return []  # gRPC's own words, before any code of ours sees the call
    if not decodable(case) and outcome.code is not grpc.StatusCode.INVALID_ARGUMENT:
        return [f"{outcome.code.name} for bytes that are no {case.method.request.DESCRIPTOR.full_name}"]
    found = list(_answer_faults(case, outcome))
    if outcome.code is not grpc.StatusCode.OK and case.method.ours:
        found += _refusal_faults(outcome)
    return found


def decodable(case: Case) -> bool:
    """Whether the bytes of a case are a request at all."""
    try:
        case.method.request.FromString(case.data)
    except DecodeError:
        return False
    return True


def _answer_faults(case: Case, outcome: Outcome) -> Iterator[str]:
    for answer in outcome.answers:
        message = case.method.response.FromString(answer)
        for path in _not_numbers(message, case.method.response.DESCRIPTOR.name):
            yield f"{path} is not a number"
        # How answers in a stream say that one request failed.
        failure = getattr(message, "error_message", "")
        if failure.startswith(("INTERNAL", "UNKNOWN")):
            yield failure


def _not_numbers(message: Message, path: str) -> Iterator[str]:
    for field, value in message.ListFields():
        where = f"{path}.{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = [value[key] for key in value]
        else:
            values = list(value) if field.is_repeated else [value]
        for element in values:
            if isinstance(element, Message):
                yield from _not_numbers(element, where)
            elif isinstance(element, float) and math.isnan(element):
                yield where


def _refusal_faults(outcome: Outcome) -> list[str]:
    """A refusal of ours says why in its details, and when to come back where that helps."""
    status = status_pb2.Status.FromString(outcome.trailers.get(STATUS_DETAILS_KEY, b""))
    found = []
    if not any(detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) for detail in status.details):
        found.append(f"{outcome.code}: {outcome.details}: no ErrorInfo in its details")
    if outcome.code is grpc.StatusCode.INVALID_ARGUMENT:
        request = error_details_pb2.BadRequest()
        named = [v.field for d in status.details if d.Unpack(request) for v in request.field_violations]
        if not named or not all(named):
            found.append(f"INVALID_ARGUMENT: {outcome.details}: names no field")
    if outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED and PUSHBACK_KEY not in outcome.trailers:
        found.append(f"RESOURCE_EXHAUSTED: {outcome.details}: does not say when to come back")
    return found
