"""A stream of pairs that survives broken connections and leaves nothing behind when it is abandoned."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import grpc.aio

from semantic_palette._client_types import BundleDescription
from semantic_palette._retry import Attempts, channel_was_closed
from semantic_palette._service_errors import ClientClosedError, ProtocolError
from semantic_palette.pair import Pair
from semantic_palette.v1 import factory_service_pb2 as factory_pb2

Request: TypeAlias = factory_pb2.GeneratePairsRequest | factory_pb2.EditPairsRequest
Response: TypeAlias = factory_pb2.GeneratePairsResponse | factory_pb2.EditPairsResponse
Call: TypeAlias = "grpc.aio.UnaryStreamCall[Any, Any]"

StreamedPair = TypeVar("StreamedPair", bound=Pair)


class PairStream(Generic[StreamedPair]):
    """Pairs in order of index; made by `AsyncClient.generate_pairs` and `AsyncClient.edit_pairs`.

    An async iterator and an async context manager. Nothing is asked of the service before the first pair is awaited,
    and the service works no further ahead than gRPC's flow control lets it, so a slow reader holds it back. A call that
    breaks is made again from the first missing index, pinned to the bundle digest of the first call. Leaving the
    `async with` block, `aclose`, dropping the last reference and cancelling the reading task all cancel the call; after
    a cancelled read the stream may be read on, and continues where it was.
    """

    def __init__(
        self,
        prepare: Callable[[Attempts], Awaitable[tuple[Request, BundleDescription]]],
        open_call: Callable[[Request, float | None], Call],
        begin: Callable[["PairStream[Any]"], Attempts],
        convert: Callable[[Any, BundleDescription], StreamedPair],
    ) -> None:
        self._prepare = prepare
        self._open_call = open_call
        self._begin = begin
        self._convert = convert
        self._attempts: Attempts | None = None
        self._plan: tuple[Request, BundleDescription] | None = None
        self._call: Call | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamedPair:
        """Returns the next pair.

        Raises:
            StopAsyncIteration: every pair was returned, or the stream was closed.
            ServiceError: the stream cannot be continued; its kinds are in `semantic_palette.client`.
            ClientClosedError: the stream or its client was closed while this waited.
        """
        if self._closed:
            raise StopAsyncIteration
        if self._attempts is None:
            self._loop = asyncio.get_running_loop()
            self._attempts = self._begin(self)
        if self._plan is None:
            self._plan = await self._prepare(self._attempts)
        request, bundle = self._plan
        while request.count:
            if self._closed:  # while this asked for the bundle, or paused before the next attempt
                raise ClientClosedError("the stream was closed while a pair was awaited")
            try:
                response = await self._read(request, self._attempts)
            except grpc.aio.AioRpcError as error:
                self._cancel_call()
                await self._attempts.pause_or_raise(error)
                continue
            self._attempts.progressed()
            return self._accept(response, request, bundle)
        await self._finish()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancels what is under way. Closing twice is allowed."""
        self._closed = True
        self._cancel_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # gRPC never collects a call that is under way, so it has to be cancelled; and perhaps from another thread.
        call, loop = self._call, self._loop
        if call is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call.cancel)

    async def _read(self, request: Request, attempts: Attempts) -> Response:
        if self._call is None:
            self._call = self._open_call(request, attempts.remaining())
        try:
            response = await self._call.read()
        except asyncio.CancelledError:
            self._cancel_call()
            if channel_was_closed():
                raise ClientClosedError("the stream was closed while a pair was awaited") from None
            raise
        if not isinstance(response, Response):  # grpc.aio.EOF
            self._cancel_call()
            raise ProtocolError(f"the stream ended {request.count} pairs early, before index {request.first_index}")
        return response

    def _accept(self, response: Response, request: Request, bundle: BundleDescription) -> StreamedPair:
        """Checks that a pair is the one asked for, and moves `request` to the next."""
        try:
            pair = self._convert(response, bundle)
            if pair.index != request.first_index:
                raise ProtocolError(f"the stream answered pair {pair.index} where {request.first_index} was due")
            if pair.provenance.bundle.digest != request.bundle.digest:
                digest = pair.provenance.bundle.digest
                raise ProtocolError(f"the stream is pinned to {request.bundle.digest} but {digest} answered")
        except ProtocolError:
            self._cancel_call()
            raise
        request.first_index += 1
        request.count -= 1
        return pair

    async def _finish(self) -> None:
        """Reads the end of the stream, so that the service sees a finished call and not a cancelled one."""
        if self._call is None:
            return
        try:
            await self._call.read()
        except grpc.aio.AioRpcError:
            pass  # every pair asked for is here; what befell the connection since changes nothing
        finally:
            self._cancel_call()

    def _cancel_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
