"""Calls of grpc.health.v1, which need no token: a few at a time, so that strangers fill no memory with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.call_context import Context
from semantic_palette_services.limits import TooManyCallsError
from semantic_palette_services.server.errors import abort, status_of
from semantic_palette_services.server.health import HEALTH_SERVICE

MAX_OPEN = 256
"""Calls of one method that may be open."""
READ_SECONDS = 1.0
"""How long a request, which may be as large as the port takes, has to come."""


class HealthInterceptor(aio.ServerInterceptor):
    """Bounds what calls of the health service take of a server. Calls of other services pass through untouched."""

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        name = handler_call_details.method.removeprefix("/")
        if handler is None or not name.startswith(f"{HEALTH_SERVICE}/"):
            return handler
        return self._methods.setdefault(name, _Method(name)).bounded(handler)


class _Method:
    """The calls of one method that are open."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open = 0

    def bounded(self, handler: Any) -> Any:
        """A handler that does the same for callers; it reads requests itself, where gRPC would before asking it."""
        answer = _streamed(handler.unary_unary) if handler.unary_stream is None else handler.unary_stream

        async def called(requests: Any, context: Context) -> None:
            if self._open >= MAX_OPEN:
                await abort(context, status_of(TooManyCallsError(f"calls of {self._name}", MAX_OPEN)))
            self._open += 1
            try:
                await answer(await self._read(context), context)
            finally:
                self._open -= 1

        return grpc.stream_stream_rpc_method_handler(
            called,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _read(self, context: Context) -> Any:
        try:
            request = await asyncio.wait_for(context.read(), READ_SECONDS)
        except TimeoutError:
            request = aio.EOF
        if request is aio.EOF:
            await abort(context, status_of(InvalidInputError("request", None, f"one is, within {READ_SECONDS:g} s")))
        return request


def _streamed(behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[None]]:
    async def called(request: Any, context: Context) -> None:
        await context.write(await behaviour(request, context))

    return called
