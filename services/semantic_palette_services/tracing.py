"""Traces as operations and the runtime see them, whoever records them.

The span that is open is found in a context variable, which tasks inherit; there is none where tracing is off, and then
nothing here costs more than looking. The server begins the spans of calls; of OpenTelemetry only
``server/opentelemetry.py`` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Headers: TypeAlias = tuple[tuple[str, str], ...]


class Span(Protocol):
    """Something that takes time, within a trace."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    @property
    def recorded(self) -> bool:
        """Whether the trace is sampled; if not, what is set here goes nowhere."""

    def child(self, name: str, attributes: Attributes, *, client: bool = False) -> Span:
        """Begin a part of this span; ``client`` where it is a call of another process."""

    def batch(
        self,
        name: str,
        members: Sequence[Span],
        seconds_ago: float,
        seconds: float,
        attributes: Attributes,
        failure: str | None,
    ) -> Span:
        """Record a batch that ran for ``seconds`` from ``seconds_ago``: the root of a trace of its own, because it is
        part of no member more than of another, with links to the members and from them."""

    def unrecorded(self) -> Span:
        """This span for what shall not be recorded, here or in other processes."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def end(self, failure: str | None = None) -> None:
        """The time is over; ``failure`` says what went wrong."""

    def headers(self) -> Headers:
        """What tells another process of this span: the W3C trace context, as gRPC metadata."""


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span that is open here, recorded or not; None where tracing is off."""
    return _current.get()


def outgoing_headers() -> Headers:
    """Metadata for calls of other processes; empty where tracing is off."""
    span = _current.get()
    return () if span is None else span.headers()


@contextmanager
def within(span: Span | None) -> Iterator[None]:
    """Within the block the span is the current one; it is not ended."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def traced(name: str, attributes: Attributes | None = None, *, client: bool = False) -> Iterator[None]:
    """The block is a span of this name, part of the current one; where nothing is recorded it is just a block."""
    parent = _current.get()
    if parent is None or not parent.recorded:
        yield
        return
    span = parent.child(name, attributes or {}, client=client)
    token = _current.set(span)
    failure: str | None = None
    try:
        yield
    except asyncio.CancelledError:
        span.set({"cancelled": True})
        raise
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
        raise
    finally:
        _current.reset(token)
        span.end(failure)


@contextmanager
def untraced() -> Iterator[None]:
    """Within the block nothing is recorded, here or in other processes that are called."""
    span = _current.get()
    with within(None if span is None else span.unrecorded()):
        yield


def record_batch(
    model: str,
    members: Sequence[Span | None],
    waits: Sequence[float],
    seconds_ago: float,
    seconds: float,
    failure: str | None = None,
) -> Span | None:
    """Record a batch of items, where any of them is recorded; see `Span.batch`.

    Args:
        model: name of the model.
        members: the span that each item is part of.
        waits: seconds that each item had waited.
        seconds_ago: when the batch began.
        seconds: how long it took.
        failure: what went wrong, if it failed.

    Returns:
        The span of the batch, which has ended; None where no item is recorded.
    """
    recorded = [(span, waited) for span, waited in zip(members, waits, strict=True) if span and span.recorded]
    if not recorded:
        return None
    attributes: Attributes = {"model": model, "batch_size": len(members), "longest_wait": max(waits)}
    for span, waited in recorded:
        span.set({"batch_size": len(members), "queue_seconds": waited})
    spans = [span for span, _ in recorded]
    return spans[0].batch(f"batch {model}", spans, seconds_ago, seconds, attributes, failure)
