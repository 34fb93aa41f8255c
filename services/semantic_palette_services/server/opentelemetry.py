"""Traces recorded with OpenTelemetry and sent to a collector over OTLP/gRPC; imported where tracing is on alone.

Whether a trace is recorded is decided where it begins, by ratio, and obeyed by everything called from there. A batch,
whose trace begins in the server, is recorded where one of its members is.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import socket
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import grpc
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.util.types import Attributes as OtelAttributes

from semantic_palette_services.tracing import Attributes, Headers, Span

_NAME = "semantic-palette"
_LEAST_MAX_LINKS = 128
_MAX_INT = 2**63 - 1
_QUOTING_LOGGERS = ("opentelemetry.baggage.propagation", "opentelemetry.trace.span")
"""Warn of malformed headers with all that is in them, so that any caller could fill the log."""
_FLUSH_SECONDS = 5.0
"""How long a server that stops waits for the collector."""

# Statuses that are the server's doing, as OpenTelemetry's conventions for gRPC have it; the others are the caller's.
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


@dataclass(frozen=True, slots=True)
class OpenTelemetrySpan:
    """See `semantic_palette_services.tracing.Span`."""

    span: trace.Span
    context: Context
    """With the span in it, and whatever else the caller's metadata named, such as baggage."""
    tracer: trace.Tracer

    @property
    def trace_id(self) -> str:
        """See `Span.trace_id`."""
        return trace.format_trace_id(self.span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """See `Span.span_id`."""
        return trace.format_span_id(self.span.get_span_context().span_id)

    @property
    def recorded(self) -> bool:
        """See `Span.recorded`."""
        return self.span.get_span_context().trace_flags.sampled

    def child(self, name: str, attributes: Attributes, *, client: bool = False) -> Span:
        """See `Span.child`."""
        kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
        span = self.tracer.start_span(name, self.context, kind, _named(attributes))
        return self._with(span)

    def batch(
        self,
        name: str,
        members: Sequence[Span],
        seconds_ago: float,
        seconds: float,
        attributes: Attributes,
        failure: str | None,
    ) -> Span:
        """See `Span.batch`."""
        ours = [member.span for member in members if isinstance(member, OpenTelemetrySpan)]
        started = time.time_ns() - int(seconds_ago * 1e9)
        span = self.tracer.start_span(
            name,
            Context(),
            attributes=_named(attributes),
            links=[trace.Link(member.get_span_context()) for member in ours],
            start_time=started,
        )
        for member in ours:
            member.add_link(span.get_span_context())
        if failure is not None:
            span.set_status(trace.StatusCode.ERROR, failure)
        span.end(started + int(seconds * 1e9))
        return self._with(span)

    def unrecorded(self) -> Span:
        """See `Span.unrecorded`."""
        here = self.span.get_span_context()
        silent = trace.SpanContext(here.trace_id, here.span_id, False, trace.TraceFlags(0), here.trace_state)
        return self._with(trace.NonRecordingSpan(silent))

    def set(self, attributes: Attributes) -> None:
        """See `Span.set`."""
        self.span.set_attributes(_named(attributes))

    def end(self, failure: str | None = None) -> None:
        """See `Span.end`."""
        if failure is not None:
            self.span.set_status(trace.StatusCode.ERROR, failure)
        self.span.end()

    def headers(self) -> Headers:
        """See `Span.headers`."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self.context)
        return tuple((key.lower(), value) for key, value in carrier.items())

    def _with(self, span: trace.Span) -> OpenTelemetrySpan:
        return OpenTelemetrySpan(span, trace.set_span_in_context(span, self.context), self.tracer)


class OpenTelemetryTracer:
    """Begins the spans of calls, and sends what is recorded; see `CallTracer`.

    Args:
        exporter: where spans go.
        ratio: share of the traces that begin here which are recorded.
        max_batch_size: most links of a batch.
    """

    def __init__(self, exporter: SpanExporter, *, ratio: float, max_batch_size: int) -> None:
        self._exporter = exporter
        self._provider = TracerProvider(
            sampler=ParentBased(_RatioOrLinked(ratio)),
            resource=_resource(),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=max(max_batch_size, _LEAST_MAX_LINKS)),
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_NAME, importlib.metadata.version(_NAME))

    def begin_call(self, method: str, headers: Iterable[tuple[str, str | bytes]]) -> Span:
        """See `CallTracer.begin_call`."""
        carrier = {key: value for key, value in headers if isinstance(value, str)}
        context = propagate.extract(carrier, Context())
        service, _, name = method.partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        span = self._tracer.start_span(method, context, trace.SpanKind.SERVER, attributes)
        return OpenTelemetrySpan(span, trace.set_span_in_context(span, context), self._tracer)

    def end_call(self, span: Span, code: grpc.StatusCode) -> None:
        """See `CallTracer.end_call`."""
        span.set({"rpc.grpc.status_code": code.value[0]})
        span.end(code.name if code in _FAULTS else None)

    async def close(self) -> None:
        """Send what was recorded, as far as the collector takes it within some seconds."""
        flushed = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        done, _ = await asyncio.wait({flushed}, timeout=_FLUSH_SECONDS)
        if not done:
            self._exporter.shutdown()
        await flushed


class _RatioOrLinked(Sampler):
    """For traces that begin here: by ratio, and by their links where they have some."""

    def __init__(self, ratio: float) -> None:
        self._by_ratio = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler.should_sample`."""
        if links and any(link.context.trace_flags.sampled for link in links):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._by_ratio.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return f"RatioOrLinked{{{self._by_ratio.rate}}}"


def otlp_tracer(endpoint: str, *, ratio: float, max_batch_size: int) -> OpenTelemetryTracer:
    """A tracer that sends to the OTLP/gRPC collector at an ``http://`` or ``https://`` endpoint.

    Headers, certificates, compression and timeouts of the connection are OpenTelemetry's environment variables
    (``OTEL_EXPORTER_OTLP_...``), as are the size and the pace of exports (``OTEL_BSP_...``).
    """
    for name in _QUOTING_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    return OpenTelemetryTracer(OTLPSpanExporter(endpoint), ratio=ratio, max_batch_size=max_batch_size)


def _resource() -> Resource:
    """Who sends; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` add to it and have the last word."""
    ours = {
        SERVICE_NAME: _NAME,
        SERVICE_VERSION: importlib.metadata.version(_NAME),
        # In Kubernetes the host is the pod; the rest tells processes on one host apart.
        SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _named(attributes: Attributes) -> dict[str, str | int | float | bool]:
    """Attributes of our own get a prefix; those of OpenTelemetry's conventions have one."""
    return {key if "." in key else f"semantic_palette.{key}": _value(value) for key, value in attributes.items()}


def _value(value: str | int | float | bool) -> str | int | float | bool:
    """Indices have 64 bits, OTLP's integers 63 and a sign: what does not fit is text, or it would spoil an export."""
    return str(value) if isinstance(value, int) and value > _MAX_INT else value
