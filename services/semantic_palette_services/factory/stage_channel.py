"""Channels of the factory to services in other processes, and what becomes of calls on them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from semantic_palette.credentials import Credentials
from semantic_palette.errors import SemanticPaletteError
from semantic_palette.grpc_conventions import STATUS_DETAILS_KEY
from semantic_palette_services.factory.renewed_channel import RenewedChannel
from semantic_palette_services.tracing import Attributes, Headers, outgoing_headers, traced

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
AnyAnswer = TypeVar("AnyAnswer", covariant=True)
Result = TypeVar("Result")


# After a call that finds too much before it to be over in time, the next waits for so many times as long as a call may
# take. An overloaded service slows streams down before it breaks them; see `_retry_when_overloaded` of local stages.
_PAUSES = (0.1, 0.2, 0.3, 0.4)


class Method(Protocol[AnyAnswer]):
    """A unary method of a stub."""

    def __call__(self, request: Message, *, timeout: float, metadata: Headers) -> Awaitable[AnyAnswer]:
        """Begin a call."""


class StageUnavailableError(SemanticPaletteError):
    """A service that the factory needs gave up a call, or nobody answers there: it was stopped, or took too long.

    Another attempt, by this call's caller, may find another replica or a shorter queue.
    """

    def __init__(self, address: str, code: grpc.StatusCode) -> None:
        super().__init__(f"{address}: the service gave up a call with {code.name}")
        self.address = address
        self.code = code

    @property
    def public(self) -> str:
        """See `SemanticPaletteError.public`."""
        return f"a service that the factory needs gave up a call with {self.code.name}"


class StageAnswerError(SemanticPaletteError):
    """A service that the factory needs answers with something else than the contract promises."""


class StageChannel:
    """A channel to the replicas of one service.

    Args:
        address: ``HOST:PORT`` or any gRPC target.
        timeout: the most seconds that one call may take, however much time the caller has left.
        credentials: gives the credentials of calls from now on.

    Raises:
        InvalidInputError: the address cannot be one, or a token would cross a network to it in plaintext.
    """

    def __init__(self, address: str, timeout: float, credentials: Callable[[], Credentials] = Credentials) -> None:
        self.address = address
        self.channel = RenewedChannel(address, credentials, grace=timeout)
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
            StageUnavailableError: the service gave the call up, which is not for want of the caller's time, or could
                not be reached.
            StageAnswerError: the answer is not what the contract promises.
            AioRpcError: the service answered with another status.
        """
        for pause in (*_PAUSES, None):
            left = math.inf if deadline is None else max(deadline - asyncio.get_running_loop().time(), 0.0)
            try:
                with traced(*self._span_of(request), client=True):
                    answer = await method(request, timeout=min(self._timeout, left), metadata=outgoing_headers())
                break
            except aio.AioRpcError as error:
                # Where the caller has longer than a call may take, only that limit has passed, or will.
                limited = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and left > self._timeout
                if pause is None or not limited or not _has_details(error):
                    if (unavailable := self._unavailable(error, limited=limited)) is None:
                        raise
                    raise unavailable from error
                # The service says so: what is before the call takes longer than that. It gets less.
                await asyncio.sleep(pause * self._timeout)
        try:
            return read(answer)
        except ValueError as error:  # of which InvalidInputError is one, that would blame our caller
            raise StageAnswerError(f"{self.address}: the answer is malformed: {error}") from error

    def _unavailable(self, error: aio.AioRpcError, *, limited: bool) -> StageUnavailableError | None:
        """What callers are told of a call that the service gave up; None where it has answered."""
        cancelled = error.code() is grpc.StatusCode.CANCELLED
        # Our services say why in the trailers. What says nothing there comes from the connection, in words that name
        # the addresses of replicas, which are not for callers.
        away = error.code() is grpc.StatusCode.UNAVAILABLE and not _has_details(error)
        if not (cancelled or limited or away):
            return None
        logger.warning("%s gave up a call with %s: %s", self.address, error.code().name, error.details())
        return StageUnavailableError(self.address, error.code())

    def _span_of(self, request: Message) -> tuple[str, Attributes]:
        method = request.DESCRIPTOR.name.removesuffix("Request")
        return method, {"rpc.system": "grpc", "rpc.method": method, "server.address": self.address}

    async def close(self) -> None:
        """Close the connections; calls in flight are cancelled."""
        await self.channel.close()


def _has_details(error: aio.AioRpcError) -> bool:
    return any(key == STATUS_DETAILS_KEY for key, _ in error.trailing_metadata() or ())
