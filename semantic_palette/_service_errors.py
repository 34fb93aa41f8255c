"""What a service's error status becomes on the client's side; `semantic_palette.client` documents the tree."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette.grpc_conventions import PUSHBACK_KEY, STATUS_DETAILS_KEY

_Detail = TypeVar("_Detail", error_details_pb2.BadRequest, error_details_pb2.RetryInfo, error_details_pb2.ErrorInfo)


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that the service refused, and why."""

    field: str
    description: str


class ClientClosedError(SemanticPaletteError):
    """The client was closed while, or before, it was used."""


class ProtocolError(SemanticPaletteError):
    """The service's answer breaks the contract, as when a stream skips an index."""


class ServiceError(SemanticPaletteError):
    """A call failed.

    Attributes:
        code: the gRPC status.
        details: the service's own words.
        address: the address that was called.
        reason: machine-readable reason that the service gave (`ErrorInfo.reason`), or "".
    """

    def __init__(self, details: str, *, code: grpc.StatusCode, address: str, reason: str = "") -> None:
        Exception.__init__(self, details)
        self.code = code
        self.details = details
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.details or 'no details'} ({self.code.name} from {self.address})"


class InvalidRequestError(ServiceError, InvalidInputError):
    """The service refused the request's content; `violations` names each field, `field` is the first of them."""

    def __init__(
        self,
        details: str,
        *,
        code: grpc.StatusCode,
        address: str,
        reason: str = "",
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(details, code=code, address=address, reason=reason)
        self.violations = violations
        self.field = violations[0].field if violations else "request"
        self.value = None
        self.allowed = violations[0].description if violations else details

    def __str__(self) -> str:
        unsaid = [v for v in self.violations if v.description not in self.details or v.field not in self.details]
        return "; ".join([super().__str__(), *(f"{v.field}: {v.description}" for v in unsaid)])


class NotFoundError(ServiceError):
    """The service knows no such bundle or class, or the bundle has not got the model that the request needs."""


class BundleMismatchError(ServiceError):
    """The service does not serve the bundle digest that the request is pinned to."""


class UnauthenticatedError(ServiceError):
    """The service asks for a token, and knows not the one that was sent, if any."""


class PermissionDeniedError(ServiceError):
    """The token is known, and not good for the call."""


class OverloadedError(ServiceError):
    """The service's queue was full at every attempt; `retry_after` is its last hint in seconds, or None."""

    def __init__(
        self,
        details: str,
        *,
        code: grpc.StatusCode,
        address: str,
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(details, code=code, address=address, reason=reason)
        self.retry_after = retry_after


class UnavailableError(ServiceError):
    """No service answered at the address, at every attempt."""


class DeadlineError(ServiceError, TimeoutError):
    """The answer would have come, or did not come, after the caller's timeout."""


_BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: BundleMismatchError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}
_INVALID = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})


@dataclass(frozen=True, slots=True)
class Pushback:
    """The service's word on when to try again: after `seconds`, or never when it is negative."""

    seconds: float

    @property
    def forbids_retry(self) -> bool:
        return self.seconds < 0


def pushback(error: grpc.aio.AioRpcError) -> Pushback | None:
    """Reads `grpc-retry-pushback-ms` (a value that is no number forbids the retry, as gRFC A6 says) or RetryInfo."""
    for key, value in error.trailing_metadata() or ():
        if key == PUSHBACK_KEY:
            try:
                return Pushback(int(value) / 1000)
            except ValueError:
                return Pushback(-1)
    for detail in _details(error, error_details_pb2.RetryInfo):
        return Pushback(detail.retry_delay.ToTimedelta().total_seconds())
    return None


def is_message_too_large(error: grpc.aio.AioRpcError) -> bool:
    """gRPC's own message limit shares RESOURCE_EXHAUSTED with a full queue, but trying again cannot help."""
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in (error.details() or "")


def service_error(error: grpc.aio.AioRpcError, address: str) -> ServiceError:
    """Returns the typed error of a failed call, with what its `google.rpc` details hold."""
    code, details = error.code(), error.details() or ""
    reason = next((info.reason for info in _details(error, error_details_pb2.ErrorInfo)), "")
    if code in _INVALID:
        violations = tuple(
            FieldViolation(violation.field, violation.description)
            for bad_request in _details(error, error_details_pb2.BadRequest)
            for violation in bad_request.field_violations
        )
        return InvalidRequestError(details, code=code, address=address, reason=reason, violations=violations)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and not is_message_too_large(error):
        hint = pushback(error)
        seconds = None if hint is None or hint.forbids_retry else hint.seconds
        return OverloadedError(details, code=code, address=address, reason=reason, retry_after=seconds)
    if code == grpc.StatusCode.UNIMPLEMENTED:  # gRPC's own words would be "Method not found!"
        details = "the service that this needs is not served there; `semantic-palette status` shows which are"
    return _BY_CODE.get(code, ServiceError)(details, code=code, address=address, reason=reason)


def _details(error: grpc.aio.AioRpcError, kind: type[_Detail]) -> Iterable[_Detail]:
    for key, value in error.trailing_metadata() or ():
        if key != STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return  # details are a courtesy: the status itself still says what happened
        for detail in status.details:
            message = kind()
            if detail.Unpack(message):
                yield message
