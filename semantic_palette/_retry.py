"""When a failed call is tried again, and after how long."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from semantic_palette._service_errors import ClientClosedError, is_message_too_large, pushback, service_error
from semantic_palette._trace_context import trace_metadata
from semantic_palette.errors import InvalidInputError

# CANCELLED is what a server answers to a call that arrives in the instant it stops; a cancellation of our own does not
# come back as a status.
_RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED})

_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a client retries UNAVAILABLE, RESOURCE_EXHAUSTED and CANCELLED by the server.

    A service's push-back is obeyed to the letter: the next attempt comes no earlier, or not at all. Without one the
    pause after attempt n is drawn uniformly from the upper half of `initial_backoff * 2**(n - 1)`, at most
    `max_backoff`.
    """

    max_attempts: int = 6
    """Attempts without progress before the error is raised, the first one included; 1 means no retry."""
    initial_backoff: float = 0.1
    """Seconds."""
    max_backoff: float = 5.0
    """Seconds."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise InvalidInputError("max_attempts", self.max_attempts, "at least 1")
        if not 0 <= self.initial_backoff <= self.max_backoff:
            raise InvalidInputError("initial_backoff", self.initial_backoff, f"0 to max_backoff ({self.max_backoff})")

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failed attempt `attempt` (from 1); jittered so that clients do not return together."""
        ceiling = min(self.max_backoff, self.initial_backoff * 2.0 ** (attempt - 1))
        return ceiling * random.uniform(0.5, 1.0)


class Attempts:
    """The attempts of one logical call, which share a deadline.

    Args:
        policy: how often and how fast.
        address: what was called, for error messages.
        timeout: seconds for all attempts together, or None.
        pinned: whether the request names a bundle digest. Replicas may serve different digests while a rollout lasts,
            and calls go to replicas in turn, so FAILED_PRECONDITION is then tried again.
    """

    def __init__(self, policy: RetryPolicy, address: str, *, timeout: float | None, pinned: bool) -> None:
        self._policy = policy
        self._address = address
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        self._retryable = _RETRYABLE | {grpc.StatusCode.FAILED_PRECONDITION} if pinned else _RETRYABLE
        self._failed = 0

    def remaining(self) -> float | None:
        """Seconds left for the next attempt, or None when there is no deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def progressed(self) -> None:
        """Starts the count again: the service answered something."""
        self._failed = 0

    async def pause_or_raise(self, error: grpc.aio.AioRpcError) -> None:
        """Waits until the next attempt is due.

        Raises:
            ServiceError: another attempt is no use, is forbidden, or would come after the deadline.
        """
        self._failed += 1
        delay = self._delay(error)
        remaining = self.remaining()
        if delay is None or (remaining is not None and delay >= remaining):
            raise service_error(error, self._address) from error
        await asyncio.sleep(delay)

    def _delay(self, error: grpc.aio.AioRpcError) -> float | None:
        if error.code() not in self._retryable or is_message_too_large(error):
            return None
        if self._failed >= self._policy.max_attempts:
            return None
        told = pushback(error)
        if told is None:
            return self._policy.backoff(self._failed)
        return None if told.forbids_retry else told.seconds


def channel_was_closed() -> bool:
    """Whether the CancelledError at hand comes from a closed channel and not from cancelling this task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


async def call_unary(
    method: Callable[[], Callable[..., Awaitable[_Response]]], request: Message, attempts: Attempts
) -> _Response:
    """Calls a unary method until it answers.

    Args:
        method: gives the method at each attempt, because the client may have been closed in the pause before it.
        request: what to ask.
        attempts: how often.

    Raises:
        ServiceError: another attempt is no use.
        ClientClosedError: the client was closed meanwhile.
    """
    while True:
        try:
            return await method()(request, timeout=attempts.remaining(), metadata=trace_metadata())
        except grpc.aio.AioRpcError as error:
            await attempts.pause_or_raise(error)
        except asyncio.CancelledError:
            if channel_was_closed():
                raise ClientClosedError("the client was closed before the service answered") from None
            raise
