"""Tokens on a listener: who calls, whether it may, and how many streams it has open."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
from grpc import aio

from semantic_palette.errors import SemanticPaletteError
from semantic_palette_services.access.callers import Caller, Scope, current_caller
from semantic_palette_services.access.errors import PermissionDeniedError, UnauthenticatedError
from semantic_palette_services.access.tokens import TokenTable
from semantic_palette_services.call_context import Context
from semantic_palette_services.server.errors import abort, status_of
from semantic_palette_services.server.health import HEALTH_SERVICE

logger = logging.getLogger(__name__)

AUTHORISATION = "authorization"
_SCHEME = "bearer "
_OPEN_SERVICE = f"/{HEALTH_SERVICE}/"
"""Load balancers ask it, and have no tokens; it says no more than whether the services serve."""


_QUIET_SECONDS = 1.0
"""Time after a refusal that is logged in which others are only counted."""


class AccessObserver(Protocol):
    """Is told about calls that may not be made."""

    def access_refused(self, reason: str) -> None:
        """A call was refused: unauthenticated, permission_denied."""


class AccessInterceptor(aio.ServerInterceptor):
    """Lets only callers with a token of the listener's scope in; everybody may ask for health.

    The first of the interceptors: what it refuses, by the metadata alone, is neither read nor parsed.

    Args:
        tokens: gives the tokens that are known now.
        scope: what callers need.
        observer: is told about refusals.
    """

    def __init__(self, tokens: Callable[[], TokenTable], scope: Scope, observer: AccessObserver) -> None:
        self._tokens = tokens
        self._scope = scope
        self._observer = observer
        self._quiet_until = 0.0
        self._unlogged = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call, or replace it by a refusal."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_SERVICE):
            return handler
        try:
            caller = self._tokens().caller_of(_token(handler_call_details.invocation_metadata))
            caller.require(self._scope)
        except (UnauthenticatedError, PermissionDeniedError) as error:
            known = isinstance(error, PermissionDeniedError)
            self._observer.access_refused("permission_denied" if known else "unauthenticated")
            return self._refusal(error, handler_call_details.method)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _as_caller(handler.unary_unary, caller),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _as_caller(handler.unary_stream, caller),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if inspect.iscoroutinefunction(handler.stream_stream):  # Reflection's is a generator, and has no quota.
            return grpc.stream_stream_rpc_method_handler(
                _as_caller(handler.stream_stream, caller),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler

    def _refusal(self, error: SemanticPaletteError, method: str) -> Any:
        """A handler that reads no request: the same for methods of every kind, because callers only see a status."""
        status = status_of(error)

        async def refuse(requests: Any, context: Context) -> None:
            self._log(method, context.peer(), str(error))
            await abort(context, status)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _log(self, method: str, peer: str, why: str) -> None:
        """Log a refusal, unless one was logged just now: whoever is refused must not fill the disk."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._unlogged += 1
            return
        fields = {"method": method.removeprefix("/"), "peer": peer, "why": why, "unlogged": self._unlogged}
        logger.warning("a call was refused", extra={"fields": fields})
        self._quiet_until, self._unlogged = now + _QUIET_SECONDS, 0


def _token(metadata: Any) -> str:
    """The token of a call's metadata: one header ``authorization: Bearer TOKEN``.

    Raises:
        UnauthenticatedError: there is no such header, or more than one.
    """
    values = [value for key, value in metadata or () if key == AUTHORISATION]
    if len(values) != 1:
        raise UnauthenticatedError("one header is needed: 'authorization: Bearer TOKEN'")
    value = values[0] if isinstance(values[0], str) else values[0].decode("latin-1")
    if not value.lower().startswith(_SCHEME):
        raise UnauthenticatedError("the header 'authorization' has to be 'Bearer TOKEN'")
    return value[len(_SCHEME) :].strip()


def _as_caller(behaviour: Callable[[Any, Context], Awaitable[Any]], caller: Caller) -> Any:
    async def called(request: Any, context: Context) -> Any:
        current_caller.set(caller)  # The task is this call's own.
        return await behaviour(request, context)

    return called
