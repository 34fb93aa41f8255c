"""Makes calls when they are due, however slow the answers are.

The loop is open: a slow server does not slow the arrivals down. And a latency counts from the moment at which its call
was due, so that neither a stalled server nor a stalled client hides calls that should have been made meanwhile
(coordinated omission).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from semantic_palette.loadtest.arrivals import Arrival, Kind
from semantic_palette.loadtest.recorder import CANCELLED, LOST, Recorder


@dataclass(frozen=True, slots=True)
class Call:
    """What a `Send` is asked to do.

    Attributes:
        index: position among the arrivals; contents may depend on it.
        poison: whether the content is to be invalid.
        timeout: seconds that are left until the answer is worth nothing, or None.
    """

    index: int
    poison: bool
    timeout: float | None


Send: TypeAlias = Callable[[Call], Awaitable[str]]
"""Makes one call, once, and returns its status: `OK` or the name of an error. Cancelling it cancels the call."""


async def run_load(
    arrivals: Iterable[Arrival],
    send: Send,
    *,
    deadline: float | None = None,
    grace: float = 10.0,
) -> Recorder:
    """Makes every call at its time, and returns when all have ended or are lost.

    Args:
        arrivals: the calls, in order of time.
        send: makes one.
        deadline: seconds after its arrival at which a call's answer is worth nothing; `send` is told what is left.
        grace: seconds after the deadline of the last arrival that calls have to end. What has not ended by then is
            lost, and so is a call that does not end when its caller gives up.

    Raises:
        Exception: whatever else `send` raised. The run ends then: no status is not a result.
    """
    recorder = Recorder()
    calls = _Calls(send, deadline, grace, recorder)
    last = 0.0
    try:
        for arrival in arrivals:
            last = arrival.at
            await calls.make(arrival)
        await calls.end(last + (deadline or 0.0) + grace)
    finally:
        await calls.abandon()
    return recorder


class _Calls:
    """The calls that are under way."""

    def __init__(self, send: Send, deadline: float | None, grace: float, recorder: Recorder) -> None:
        self._send = send
        self._deadline = deadline
        self._grace = grace
        self._recorder = recorder
        self._time = asyncio.get_running_loop().time
        self._started = self._time()
        self._open: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    async def make(self, arrival: Arrival) -> None:
        """Waits until the call is due, and begins it."""
        wait = self._started + arrival.at - self._time()
        # Also without a wait the loop gets a turn, so that a client that is late still reads its answers.
        await asyncio.sleep(max(0.0, wait))
        self._raise_error()
        task = asyncio.create_task(self._call(arrival))
        self._open.add(task)
        task.add_done_callback(self._ended)

    async def end(self, latest: float) -> None:
        """Waits until every call has ended, or until `latest` seconds after the start."""
        if self._open:
            await asyncio.wait(self._open, timeout=max(0.0, self._started + latest - self._time()))
        self._raise_error()

    async def abandon(self) -> None:
        """Cancels what has not ended."""
        left = list(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not task.cancelled() and self._error is None:
            self._error = task.exception()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _call(self, arrival: Arrival) -> None:
        due = self._started + arrival.at
        lag = self._time() - due
        status = LOST
        try:
            timeout = None if self._deadline is None else max(0.0, self._deadline - lag)
            call = Call(arrival.index, arrival.kind is Kind.POISON, timeout)
            if arrival.kind is Kind.CANCEL:
                status = await self._call_impatiently(call, arrival.patience * self._recorder.usual_latency)
            else:
                status = await self._send(call)
        finally:
            self._recorder.add(arrival, status, self._time() - due, lag)

    async def _call_impatiently(self, call: Call, patience: float) -> str:
        """The status of a call that is cancelled once `patience` seconds are over, if it has not ended by then."""
        task = asyncio.ensure_future(self._send(call))
        try:
            done, _ = await asyncio.wait({task}, timeout=patience)
            if done:
                return task.result()
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=self._grace)
            if not done:
                return LOST
            with contextlib.suppress(asyncio.CancelledError):
                return task.result()
            return CANCELLED
        finally:
            task.cancel()
