"""Makes a call as its case says, and tells how it ended."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from grpc import aio

from fuzz.cases import Caller, Case
from semantic_palette.credentials import Metadata
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS

PATIENCE = 90.0
"""Seconds after which an answer that has not come counts as a hang, on however busy a machine."""

_MOST_MESSAGES = 5
_REQUESTS_OF_A_STREAM = 3

_WRITTEN_TOO_LATE = "Internal error from Core"
"""What gRPC on this side says, as INTERNAL, where a request is written to a call that has just ended."""

# Each case meets the server itself: no retries on the way, and a connection of its own.
_OPTIONS = (*CONNECTION_OPTIONS, ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))


@dataclass
class Outcome:
    """How a call ended.

    Attributes:
        code: its status; None where the caller left before it had one.
        details: the message beside the status.
        trailers: the trailing metadata.
        answers: what was answered, serialized.
        seconds: how long it took.
        error: set when the call failed in a way that no status describes.
    """

    code: grpc.StatusCode | None = None
    details: str = ""
    trailers: dict[str, Any] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


def channel_to(address: str) -> aio.Channel:
    """A connection to a server."""
    return aio.insecure_channel(address, options=_OPTIONS)


async def make_call(address: str, channel: aio.Channel, case: Case, metadata: Metadata = ()) -> Outcome:
    """Make the call of a case, on the channel or, for a caller that will be gone, on one of its own.

    Args:
        address: of the server.
        channel: to it.
        case: what to call.
        metadata: what the call carries beside that of the case.
    """
    case = replace(case, metadata=(*metadata, *case.metadata))
    outcome, started = Outcome(), time.perf_counter()
    try:
        if case.caller is Caller.GONE:
            async with channel_to(address) as own:
                await _leave_early(own, case, outcome)
        elif case.caller is Caller.FICKLE:
            await _leave_early(channel, case, outcome)
        else:
            await _call(channel, case, outcome)
    except aio.AioRpcError as error:
        if not (case.method.takes_stream and error.details() == _WRITTEN_TOO_LATE):
            outcome.code, outcome.details = error.code(), error.details() or ""
            outcome.trailers = dict(error.trailing_metadata() or ())
    except TimeoutError:
        outcome.error = f"no status {PATIENCE:.0f} s after the deadline of {PATIENCE:.0f} s"
    outcome.seconds = time.perf_counter() - started
    return outcome


async def _leave_early(channel: aio.Channel, case: Case, outcome: Outcome) -> None:
    """Call, and leave after the case's moment, whether or not there is an answer."""
    call = asyncio.create_task(_call(channel, case, outcome))
    await asyncio.wait({call}, timeout=case.moment)
    if call.done():
        await call
        return
    if case.caller is Caller.GONE:
        await channel.close()
    call.cancel()
    await asyncio.wait({call})
    outcome.code = None


async def _call(channel: aio.Channel, case: Case, outcome: Outcome) -> None:
    timeout = case.moment if case.caller is Caller.HASTY else PATIENCE
    settings: dict[str, Any] = {"timeout": timeout, "metadata": case.metadata}
    # gRPC ends a call at its deadline on this side; twice the time is for a channel that does not.
    async with asyncio.timeout(2 * PATIENCE):
        if case.method.takes_stream:
            await _converse(channel.stream_stream(case.method.path)(**settings), case, outcome)
        elif case.method.streams:
            await _read_stream(channel.unary_stream(case.method.path)(case.data, **settings), case, outcome)
        else:
            outcome.answers.append(await channel.unary_unary(case.method.path)(case.data, **settings))
            outcome.code = grpc.StatusCode.OK


async def _converse(call: Any, case: Case, outcome: Outcome) -> None:
    """Send the request again after each answer: what follows one that is wrong is to be answered as well."""
    for _ in range(_REQUESTS_OF_A_STREAM):
        await call.write(case.data)
        if (answer := await call.read()) is not aio.EOF:
            outcome.answers.append(answer)
    with suppress(aio.InternalError):  # raised where the call has ended meanwhile; how, its code says
        await call.done_writing()
    outcome.code = await call.code()


async def _read_stream(call: Any, case: Case, outcome: Outcome) -> None:
    """Read to the end, or the first messages and then cancel: a request may well have asked for a million."""
    most = 1 if case.method.endless else _MOST_MESSAGES
    async for answer in call:
        outcome.answers.append(answer)
        if len(outcome.answers) == most:
            call.cancel()
            return
    outcome.code = await call.code()
