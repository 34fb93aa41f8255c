"""What every call of our services goes through, unary or a stream: metrics, traces and the table of errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import grpc
from grpc import aio

from semantic_palette_services.access.callers import ANYONE, current_caller
from semantic_palette_services.call_context import Context
from semantic_palette_services.limits import TooManyCallsError
from semantic_palette_services.runtime.errors import DrainingError
from semantic_palette_services.server.errors import abort, status_of
from semantic_palette_services.tracing import Span, within

logger = logging.getLogger(__name__)

_OURS = ("/semantic_palette.", "/inference.")
_QUIET_SECONDS = 0.1
"""Time without a call after which a draining server counts as left alone."""
_LONGEST_QUIET_WAIT = 1.0
"""How long a draining server that has nothing to do waits to be left alone: not every caller stays away."""

Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]

_HANDLERS = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}
"""The kinds of calls that our services have, and what makes a handler of each."""


class CallObserver(Protocol):
    """Is told about calls; must be quick."""

    def call_started(self, method: str) -> None:
        """A call of ``method`` (``Service/Method``) has been accepted."""

    def call_ended(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """The call has ended, however it did."""


class CallTracer(Protocol):
    """Begins and ends the spans of calls; must be quick."""

    def begin_call(self, method: str, headers: Iterable[tuple[str, str | bytes]]) -> Span:
        """Begin the span of a call of ``method`` (``Service/Method``), in the trace that its metadata name."""

    def end_call(self, span: Span, code: grpc.StatusCode) -> None:
        """End the span of a call."""


class CallInterceptor(aio.ServerInterceptor):
    """Observes calls and turns whatever they raise into a status. Calls of other services pass through untouched.

    Handlers of streams must be coroutines that write to the context, not generators: a generator that waits in its
    ``yield`` when the call is cancelled is not told.

    Args:
        observer: is told about every call.
        max_calls: calls of our services that may be open at the same time, each of which holds its messages in memory.
        tracer: begins the span of every call; None for no tracing.
    """

    def __init__(self, observer: CallObserver, max_calls: int, tracer: CallTracer | None = None) -> None:
        self._observer = observer
        self._max_calls = max_calls
        self._tracer = tracer
        self._active = 0
        self._last_arrival = 0.0
        self._draining = False

    @property
    def open_calls(self) -> int:
        """Calls of our services that have not ended."""
        return self._active

    async def drain(self, grace: float) -> None:
        """Refuse new calls with UNAVAILABLE; return when those accepted have ended and few more arrive, or after grace.

        gRPC answers calls that have arrived but not reached their handler when it stops with CANCELLED. So it is
        stopped once refusals have made the callers stay away, or a second after the last accepted call.

        Args:
            grace: the most seconds that this may take.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._active and loop.time() < deadline:
            await asyncio.sleep(_QUIET_SECONDS / 10)
        self._last_arrival = loop.time()
        deadline = min(deadline, loop.time() + _LONGEST_QUIET_WAIT)
        while loop.time() < min(deadline, self._last_arrival + _QUIET_SECONDS):
            await asyncio.sleep(_QUIET_SECONDS / 10)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        kind, make = next((kind, make) for kind, make in _HANDLERS.items() if getattr(handler, kind) is not None)
        return make(
            self._guard(getattr(handler, kind), method.removeprefix("/")),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guard(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def guarded(request: Any, context: Context) -> Any:
            call = _Call(self._observer, self._tracer, method, context)
            self._last_arrival = asyncio.get_running_loop().time()
            with call.observed():
                try:
                    with self._accepted():
                        return await behaviour(request, context)
                except asyncio.CancelledError:
                    call.code = _code_of_cancellation(context)
                    raise
                except aio.AbortError:
                    call.code = context.code()
                    raise
                except Exception as error:
                    if context.cancelled():
                        # Writing to a caller that has just gone fails in ways of its own.
                        call.code = grpc.StatusCode.CANCELLED
                        raise asyncio.CancelledError from error
                    failure = status_of(error)
                    call.code = failure.code
            # Last, so that whoever has been answered is in the metrics.
            return await abort(context, failure)

        return guarded

    @contextmanager
    def _accepted(self) -> Iterator[None]:
        """Within the block a call counts as accepted."""
        if self._draining:
            raise DrainingError("server")
        if self._active >= self._max_calls:
            raise TooManyCallsError("calls", self._max_calls)
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1


class _Call:
    """What is told of one call: to the observer, the tracer and, at level debug, the log.

    Attributes:
        code: the status that the call ends with.
    """

    def __init__(self, observer: CallObserver, tracer: CallTracer | None, method: str, context: Context) -> None:
        self.code = grpc.StatusCode.OK
        self._observer = observer
        self._tracer = tracer
        self._method = method
        self._context = context

    @contextmanager
    def observed(self) -> Iterator[None]:
        """The block is the call."""
        started = time.perf_counter()
        self._observer.call_started(self._method)
        span = None
        if self._tracer is not None:
            span = self._tracer.begin_call(self._method, self._context.invocation_metadata() or ())
            if span.recorded and current_caller.get() is not ANYONE:
                span.set({"caller": current_caller.get().name})
        with within(span):
            try:
                yield
            finally:
                seconds = time.perf_counter() - started
                self._observer.call_ended(self._method, self.code, seconds)
                if logger.isEnabledFor(logging.DEBUG):
                    self._log(seconds)
                if self._tracer is not None and span is not None:
                    self._tracer.end_call(span, self.code)

    def _log(self, seconds: float) -> None:
        fields = {
            "method": self._method,
            "code": self.code.name,
            "seconds": round(seconds, 6),
            "peer": self._context.peer(),
            "caller": current_caller.get().name,
        }
        logger.debug("call ended", extra={"fields": fields})


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    remaining: float | None = context.time_remaining()
    expired = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
