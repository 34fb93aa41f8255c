"""The one table from errors to gRPC statuses.

| error | status | details |
|---|---|---|
| InvalidInputError, InfeasibleConstraintsError | INVALID_ARGUMENT | BadRequest: field, value, what is allowed |
| UnknownClassError | NOT_FOUND | BadRequest, as above |
| BundleNotFoundError, MissingOperationError, UnknownModelError | NOT_FOUND | ErrorInfo |
| UnauthenticatedError | UNAUTHENTICATED | ErrorInfo |
| PermissionDeniedError | PERMISSION_DENIED | ErrorInfo |
| BundleMismatchError | FAILED_PRECONDITION | PreconditionFailure: what is wanted and what is loaded |
| BundleRejectedError, BundleInUseError | FAILED_PRECONDITION | ErrorInfo |
| OverloadError, TooManyCallsError, QuotaExceededError | RESOURCE_EXHAUSTED | RetryInfo, QuotaFailure; push-back |
| DeadlineUnmetError, DeadlineExpiredError | DEADLINE_EXCEEDED | ErrorInfo |
| EngineDiedError | UNAVAILABLE | RetryInfo; push-back |
| DrainingError, StageUnavailableError | UNAVAILABLE | ErrorInfo |
| status of a remote stage | the same | the same |
| anything else | INTERNAL | an id, which the log has with the exception; never the exception's text |

Push-back is in the trailers. Every status has an ErrorInfo whose reason is the error's name in capitals, such as
QUEUE_FULL.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from semantic_palette.errors import (
    BundleNotFoundError,
    InvalidInputError,
    SemanticPaletteError,
    UnknownClassError,
    shorten,
)
from semantic_palette.grpc_conventions import PUSHBACK_KEY, STATUS_DETAILS_KEY
from semantic_palette_services.access.errors import PermissionDeniedError, QuotaExceededError, UnauthenticatedError
from semantic_palette_services.bundle_selection import BundleMismatchError, MissingOperationError
from semantic_palette_services.call_context import Context
from semantic_palette_services.factory.stage_channel import StageUnavailableError
from semantic_palette_services.limits import TooManyCallsError
from semantic_palette_services.openinference.catalogue import UnknownModelError
from semantic_palette_services.runtime.errors import (
    BundleInUseError,
    BundleRejectedError,
    DeadlineUnmetError,
    DrainingError,
    EngineDiedError,
    OverloadError,
)

logger = logging.getLogger(__name__)

DOMAIN = "semantic-palette"
_Exhausted: TypeAlias = OverloadError | TooManyCallsError | QuotaExceededError
# Trailers share 8 KiB; the message travels twice, once within the details.
_MAX_MESSAGE = 1500

_CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (UnknownClassError, grpc.StatusCode.NOT_FOUND),
    (InvalidInputError, grpc.StatusCode.INVALID_ARGUMENT),
    (BundleNotFoundError, grpc.StatusCode.NOT_FOUND),
    (MissingOperationError, grpc.StatusCode.NOT_FOUND),
    (UnknownModelError, grpc.StatusCode.NOT_FOUND),
    (BundleMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (QuotaExceededError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (BundleRejectedError, grpc.StatusCode.FAILED_PRECONDITION),
    (BundleInUseError, grpc.StatusCode.FAILED_PRECONDITION),
    (OverloadError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyCallsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DeadlineUnmetError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (DrainingError, grpc.StatusCode.UNAVAILABLE),
    (EngineDiedError, grpc.StatusCode.UNAVAILABLE),
    (StageUnavailableError, grpc.StatusCode.UNAVAILABLE),
)

# What a remote stage may say to the caller of the factory; its other statuses are faults of ours. So is a token of ours
# that it does not know.
_RELAYED = frozenset(code for _, code in _CODES) - {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}


@dataclass(frozen=True, slots=True)
class CallStatus:
    """How a call ends: the arguments of ``ServicerContext.abort``."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def status_of(error: Exception) -> CallStatus:
    """The status of a call that failed with ``error``; logs what is not the caller's doing."""
    if isinstance(error, aio.AioRpcError):
        return _relayed(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return _status(code, _public(error), _details(error), _retry_after(error))
    return _internal(error)


async def abort(context: Context, status: CallStatus) -> NoReturn:
    """End a call with a status."""
    await context.abort(status.code, status.message, trailing_metadata=status.trailing_metadata)
    raise AssertionError("abort always raises")


def _status(
    code: grpc.StatusCode, message: str, details: Sequence[Message], retry_after: float | None = None
) -> CallStatus:
    message = message[:_MAX_MESSAGE]
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    trailers: tuple[tuple[str, str | bytes], ...] = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
    if retry_after is not None:
        trailers += ((PUSHBACK_KEY, str(max(1, round(retry_after * 1000)))),)
    return CallStatus(code, message, trailers)


def _public(error: Exception) -> str:
    return error.public if isinstance(error, SemanticPaletteError) else type(error).__name__


def _retry_after(error: Exception) -> float | None:
    return error.retry_after_seconds if isinstance(error, _Exhausted | EngineDiedError) else None


def _details(error: Exception) -> list[Message]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=_reason(error), domain=DOMAIN)]
    if isinstance(error, InvalidInputError):
        description = f"{shorten(error.value)} is not allowed; {error.allowed}"[:_MAX_MESSAGE]
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=description)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    elif isinstance(error, BundleMismatchError):
        mismatch = error_details_pb2.PreconditionFailure.Violation(
            type=f"BUNDLE_{error.kind.upper()}", subject=error.name, description=_public(error)
        )
        details.append(error_details_pb2.PreconditionFailure(violations=[mismatch]))
    elif isinstance(error, _Exhausted):
        quota = error_details_pb2.QuotaFailure.Violation(subject=_exhausted(error), description=_public(error))
        details += [_retry_info(error.retry_after_seconds), error_details_pb2.QuotaFailure(violations=[quota])]
    elif isinstance(error, EngineDiedError):
        details.append(_retry_info(error.retry_after_seconds))
    return details


def _exhausted(error: _Exhausted) -> str:
    match error:
        case OverloadError():
            return error.model
        case TooManyCallsError():
            return error.what
        case QuotaExceededError():
            return error.caller


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(max(1, round(seconds * 1000)))
    return retry


def _reason(error: Exception) -> str:
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def _relayed(error: aio.AioRpcError) -> CallStatus:
    """A remote stage's status, passed on with its details; its push-back too, for it is about the same work."""
    code = error.code()
    if code not in _RELAYED:
        return _internal(error)
    kept = tuple(
        (key, value) for key, value in error.trailing_metadata() or () if key in (STATUS_DETAILS_KEY, PUSHBACK_KEY)
    )
    return CallStatus(code, (error.details() or "")[:_MAX_MESSAGE], kept)


def _internal(error: Exception) -> CallStatus:
    identifier = uuid.uuid4().hex[:12]
    logger.error("internal error %s", identifier, exc_info=error)
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": identifier})
    return _status(grpc.StatusCode.INTERNAL, f"internal error {identifier}", [info])
