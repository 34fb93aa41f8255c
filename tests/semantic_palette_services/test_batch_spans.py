"""The span of a batch that has items of several callers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import numpy as np
from grpc_helpers import asynchronous
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from semantic_palette_services.runtime.admission import QueueLimits
from semantic_palette_services.runtime.batcher import Batcher
from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.server.opentelemetry import OpenTelemetryTracer
from semantic_palette_services.tracing import traced, within

SAMPLED, NOT_SAMPLED = "01", "00"


class Bench:
    """A batcher whose device waits for a gate, and calls with traces of their own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = OpenTelemetryTracer(self.exporter, ratio=0.0, max_batch_size=8)
        self.executor = DeviceExecutor("test")
        self.batcher = Batcher(self._run, self.executor, max_batch_size=8, limits=QueueLimits(items=8), name="model")
        self.running, self.gate = threading.Event(), threading.Event()

    def _run(self, inputs: Any) -> Any:
        self.running.set()
        assert self.gate.wait(30)
        if (inputs["x"] < 0).any():
            raise ValueError("poison")
        return {"y": inputs["x"]}

    def call(self, number: int, flags: str = SAMPLED, value: float = 0.0) -> asyncio.Task[Any]:
        """A call of trace ``number``."""

        async def run() -> Any:
            span = self.tracer.begin_call("Service/Method", [("traceparent", f"00-{number:032x}-{1:016x}-{flags}")])
            with within(span), traced("infer"):
                try:
                    return await self.batcher.submit({"x": np.full(1, value)})
                finally:
                    self.tracer.end_call(span, grpc.StatusCode.OK)

        return asyncio.create_task(run())

    async def together(self, *calls: tuple[int, str, float]) -> list[ReadableSpan]:
        """Lets calls share a batch, behind one that keeps the device busy; returns the spans of batches."""
        first = self.call(999, NOT_SAMPLED)
        await asyncio.to_thread(self.running.wait, 30)
        tasks = [self.call(*call) for call in calls]
        await asyncio.sleep(0)
        self.gate.set()
        await asyncio.gather(first, *tasks, return_exceptions=True)
        await self.batcher.close()
        await self.executor.close()
        await self.tracer.close()
        return [span for span in self.exporter.get_finished_spans() if span.name == "batch model"]


def traces(batch: ReadableSpan) -> set[int]:
    return {link.context.trace_id for link in batch.links}


@asynchronous
async def test_a_batch_links_to_every_caller_that_is_recorded() -> None:
    bench = Bench()
    (batch,) = await bench.together((1, SAMPLED, 0.0), (2, SAMPLED, 0.0), (3, NOT_SAMPLED, 0.0))
    assert traces(batch) == {1, 2}
    assert batch.context is not None
    assert batch.context.trace_id not in (1, 2, 3)
    assert batch.parent is None
    assert batch.attributes is not None
    assert batch.attributes["semantic_palette.batch_size"] == 3
    items = [span for span in bench.exporter.get_finished_spans() if span.name == "infer"]
    assert [[link.context.span_id for link in item.links] for item in items] == [[batch.context.span_id]] * 2


@asynchronous
async def test_a_batch_that_fails_is_recorded_before_its_items_run_alone() -> None:
    bench = Bench()
    batches = await bench.together((1, SAMPLED, 0.0), (2, SAMPLED, -1.0))
    assert [traces(batch) for batch in batches] == [{1, 2}, {1}, {2}]
    assert [batch.status.description for batch in batches] == ["ValueError: poison", None, "ValueError: poison"]


@asynchronous
async def test_nothing_is_recorded_of_callers_that_are_not() -> None:
    bench = Bench()
    assert await bench.together((1, NOT_SAMPLED, 0.0)) == []
    assert bench.exporter.get_finished_spans() == ()
