"""Bytes that are no message of the type that an RPC takes are bad input like any other; so are too many fields.

gRPC itself answers UNKNOWN with the text of the exception, which says neither whose fault it is nor what is allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.call_context import Context
from semantic_palette_services.server.errors import abort, status_of
from semantic_palette_services.server.field_count import MAX_FIELDS, has_too_many_fields

Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


Request = TypeVar("Request")

_STREAMS_OF_OURS = "/inference."
"""Whose streams of requests are read through `decoded`; those of reflection are grpcio's own."""


@dataclass(frozen=True, slots=True)
class _Undecodable:
    """Stands for a request that cannot be read, or shall not be."""

    given: str
    allowed: str


class DecodingInterceptor(aio.ServerInterceptor):
    """Answers a request that cannot be read with INVALID_ARGUMENT. The last interceptor, so that the others see it.

    A stream of requests is its handler's to read: it passes what it reads through `decoded`.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        if handler.request_streaming and not handler_call_details.method.startswith(_STREAMS_OF_OURS):
            return handler
        if handler.request_streaming:
            return handler._replace(request_deserializer=_tolerant(handler.request_deserializer))
        streams = handler.response_streaming
        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(
            _refuse_undecodable(handler.unary_stream if streams else handler.unary_unary),
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def decoded(request: Request) -> Request:
    """A request as it is.

    Raises:
        InvalidInputError: it is no message, or one of too many fields.
    """
    if isinstance(request, _Undecodable):
        raise InvalidInputError("request", request.given, request.allowed)
    return request


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    kind = deserialize(b"").DESCRIPTOR

    def read(data: bytes) -> Any:
        if has_too_many_fields(data, kind):
            given = f"a message of {len(data)} bytes with more than {MAX_FIELDS} fields"
            return _Undecodable(given, f"at most {MAX_FIELDS} fields are allowed")
        try:
            return deserialize(data)
        except DecodeError:
            allowed = "a serialized message of the type that the method takes is allowed"
            return _Undecodable(f"{len(data)} bytes", allowed)

    return read


def _refuse_undecodable(
    behaviour: Callable[[Any, Context], Awaitable[Any]],
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def checked(request: Any, context: Context) -> Any:
        try:
            decoded(request)
        except InvalidInputError as error:
            await abort(context, status_of(error))
        return await behaviour(request, context)

    return checked
