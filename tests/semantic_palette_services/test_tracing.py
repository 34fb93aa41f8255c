"""What a collector of traces gets to see."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_helpers import Stubs, asynchronous, serving, serving_in_process, serving_in_thread
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from secret_files import TOKEN, write_tokens
from tiny_bundle import NAMES
from tiny_graphs import POISON_CLASS
from trace_collector import Collector, collecting

from semantic_palette import Client
from semantic_palette.client import Credentials
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.server.logs import JsonFormatter
from semantic_palette_services.tracing import current_span, traced, untraced, within

PAIRS = 5
SERVICE = "semantic_palette.v1"
GENERATE = f"{SERVICE}.FactoryService/GeneratePairs"
SAMPLED_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED_PARENT = SAMPLED_PARENT[:-1] + "0"
TRACE_ID = SAMPLED_PARENT[3:35]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def generate(stubs: Stubs, count: int = PAIRS, parent: str | None = None) -> None:
    metadata = () if parent is None else (("traceparent", parent),)
    assert len(list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=count), metadata=metadata))) == count


def check_batches_are_linked(collector: Collector, model: str) -> None:
    """Every item of the model is linked from exactly one batch, and links to it."""
    items, batches = collector.named(f"infer {model}"), collector.named(f"batch {model}")
    assert len(items) == PAIRS
    linked = [link for batch in batches for link in batch.links]
    assert sorted(linked) == sorted(item.id for item in items)
    for batch in batches:
        assert batch.parent_id == ""
        assert batch.attributes["semantic_palette.batch_size"] == len(batch.links)
        members = [item for item in items if item.id in batch.links]
        assert all(batch.id in item.links for item in members)
        assert all(0.0 <= batch.seconds <= item.seconds + 0.001 for item in members)
        longest = max(item.attributes["semantic_palette.queue_seconds"] for item in members)
        assert batch.attributes["semantic_palette.longest_wait"] == longest


def test_one_trace_leads_from_the_client_to_every_stage_and_batches_link_to_their_items(
    tiny_root: Path, collector: Collector
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint) as (server, _):
        span = provider.get_tracer("application").start_span("my program")
        with trace.use_span(span), Client(server.address.removeprefix("ipv4:")) as client:
            assert len(list(client.generate_pairs(PAIRS, seed=1))) == PAIRS
    call = collector.one(GENERATE)
    context = span.get_span_context()
    assert call.id[0] == trace.format_trace_id(context.trace_id)
    assert call.parent_id == trace.format_span_id(context.span_id)
    assert call.kind == "SERVER"
    assert call.attributes == {
        "rpc.system": "grpc",
        "rpc.service": f"{SERVICE}.FactoryService",
        "rpc.method": "GeneratePairs",
        "rpc.grpc.status_code": 0,
    }
    assert call.resource["service.name"] == "semantic-palette"
    assert call.resource["service.instance.id"]
    indices = [span.attributes["semantic_palette.index"] for span in collector.named("pair")]
    assert sorted(indices) == list(range(PAIRS))
    assert collector.path(collector.one("palette")) == ["palette", "pair", GENERATE]
    for stage in ("layout", "image"):
        paths = [collector.path(span) for span in collector.named(f"infer {stage}")]
        assert paths == [[f"infer {stage}", stage, "pair", GENERATE]] * PAIRS
        check_batches_are_linked(collector, stage)
    batches = {span.id for span in collector.spans if span.name.startswith("batch ")}
    assert {span.trace_id for span in collector.spans if span.id not in batches} == {call.trace_id}


def test_one_trace_spans_the_services_of_several_processes(tiny_root: Path, collector: Collector) -> None:
    tracing = {"otlp_endpoint": collector.endpoint}
    with (
        serving_in_thread(tiny_root, services=("palette", "layout"), **tracing) as (near, _),
        serving_in_process(tiny_root, "--services", "image", "--otlp-endpoint", collector.endpoint) as far,
    ):
        addresses = {"palette_address": near.address, "layout_address": near.address, "image_address": far.address}
        with serving_in_thread(tiny_root, services=("factory",), **addresses, **tracing) as (_, stubs):
            generate(stubs, parent=SAMPLED_PARENT)
        assert far.terminate() == 0
    call = collector.one(GENERATE)
    assert call.id[0] == TRACE_ID
    for stage, method in {"layout": "GenerateLayouts", "image": "TranslateLayouts"}.items():
        service = f"{SERVICE}.{stage.capitalize()}Service/{method}"
        for item in collector.named(f"infer {stage}"):
            assert item.trace_id == TRACE_ID
            assert collector.path(item) == [f"infer {stage}", service, method, stage, "pair", GENERATE]
        check_batches_are_linked(collector, stage)
    (client, *_) = collector.named("TranslateLayouts")
    assert client.kind == "CLIENT"
    assert client.attributes["server.address"] == far.address
    instances = {span.resource["service.instance.id"] for span in collector.spans}
    assert len(instances) == 3


def test_who_calls_decides_whether_a_trace_is_recorded(tiny_root: Path, collector: Collector) -> None:
    with serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint, trace_ratio=0.0) as (_, stubs):
        generate(stubs)
        generate(stubs, parent=UNSAMPLED_PARENT)
        generate(stubs, parent=SAMPLED_PARENT)
    assert collector.one(GENERATE).trace_id == TRACE_ID
    check_batches_are_linked(collector, "layout")


def test_a_long_stream_is_traced_in_part(
    tiny_root: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semantic_palette_services.factory.operation._TRACED_FIRST", 3)
    monkeypatch.setattr("semantic_palette_services.factory.operation._TRACED_EVERY", 8)
    with (
        serving_in_thread(tiny_root, services=("image",), otlp_endpoint=collector.endpoint) as (image, _),
        serving_in_thread(
            tiny_root,
            services=("palette", "layout", "factory"),
            image_address=image.address,
            otlp_endpoint=collector.endpoint,
        ) as (_, stubs),
    ):
        generate(stubs, count=20)
    indices = sorted(span.attributes["semantic_palette.index"] for span in collector.named("pair"))
    assert indices == [0, 1, 2, 8, 16]
    assert len(collector.named("infer layout")) == len(collector.named("infer image")) == 5
    assert len(collector.named(f"{SERVICE}.ImageService/TranslateLayouts")) == 5


def test_what_takes_time_beside_the_models_is_told_apart(tiny_root: Path, collector: Collector) -> None:
    request = factory.GeneratePairsRequest(count=1, adherence=common.ADHERENCE_EXACT)
    with serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint) as (_, stubs):
        list(stubs.factory.GeneratePairs(request))
    for name, stage in {"infer layout_scores": "layout", "budget": "layout", "encode": "image"}.items():
        assert collector.path(collector.one(name)) == [name, stage, "pair", GENERATE]


def test_the_last_indices_are_traced_too(tiny_root: Path, collector: Collector) -> None:
    with serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint) as (_, stubs):
        list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=2, first_index=2**64 - 2)))
    indices = {span.attributes["semantic_palette.index"] for span in collector.named("pair")}
    assert indices == {str(2**64 - 2), str(2**64 - 1)}


def test_a_trace_names_the_caller_and_never_the_token(tiny_root: Path, collector: Collector, tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.json")
    with (
        serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint, auth_tokens=tokens) as (server, _),
        Client(server.address, credentials=Credentials(token=TOKEN)) as client,
    ):
        assert len(list(client.generate_pairs(1))) == 1
    assert collector.one(GENERATE).attributes["semantic_palette.caller"] == "alice"
    assert TOKEN not in repr(collector.spans)


def test_a_failed_call_says_how_it_failed(poisoned_root: Path, collector: Collector) -> None:
    poison = layout.LayoutItem(palette=common.Palette(shares={NAMES[POISON_CLASS]: 1.0}))
    with serving_in_thread(poisoned_root, otlp_endpoint=collector.endpoint) as (_, stubs):
        for request in (layout.GenerateLayoutsRequest(items=[poison]), layout.GenerateLayoutsRequest()):
            with pytest.raises(grpc.RpcError):
                stubs.layout.GenerateLayouts(request)
    failed, refused = collector.named(f"{SERVICE}.LayoutService/GenerateLayouts")
    assert (failed.attributes["rpc.grpc.status_code"], failed.failed) == (13, True)
    assert (refused.attributes["rpc.grpc.status_code"], refused.failed) == (3, False)
    item, batch = collector.one("infer layout"), collector.one("batch layout")
    assert item.failed
    assert batch.failed
    assert batch.links == {item.id}


@asynchronous
async def test_a_cancelled_call_ends_its_spans(tiny_root: Path, collector: Collector) -> None:
    async with serving(tiny_root, otlp_endpoint=collector.endpoint) as (_, stubs):
        call = stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=100_000))
        await call.read()
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
    assert collector.one(GENERATE).attributes["rpc.grpc.status_code"] == 1
    ids = {span.id for span in collector.spans}
    assert all((span.trace_id, span.parent_id) in ids for span in collector.named("pair"))


@asynchronous
async def test_a_server_serves_and_stops_without_the_collector(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semantic_palette_services.server.opentelemetry._FLUSH_SECONDS", 0.2)
    async with asyncio.timeout(60), serving(tiny_root, otlp_endpoint="http://127.0.0.1:1") as (_, stubs):
        request = factory.GeneratePairsRequest(count=1)
        assert len([pair async for pair in stubs.factory.GeneratePairs(request)]) == 1


def test_histograms_lead_to_traces(tiny_root: Path, collector: Collector) -> None:
    with serving_in_thread(tiny_root, otlp_endpoint=collector.endpoint) as (server, stubs):
        generate(stubs, parent=SAMPLED_PARENT)
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        request = urllib.request.Request(f"http://127.0.0.1:{server.metrics_port}/metrics", headers=accept)
        with urllib.request.urlopen(request, timeout=10) as response:
            assert "openmetrics" in response.headers["Content-Type"]
            families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    exemplars = {
        name: [s.exemplar.labels for s in families[f"semantic_palette_{name}"].samples if s.exemplar is not None]
        for name in ("request_duration_seconds", "queue_duration_seconds", "batch_execution_duration_seconds")
    }
    call, by_id = collector.one(GENERATE), {span.id: span for span in collector.spans}
    assert exemplars["request_duration_seconds"] == [{"trace_id": TRACE_ID, "span_id": call.span_id}]
    for name, kind in {"queue_duration_seconds": "infer", "batch_execution_duration_seconds": "batch"}.items():
        assert exemplars[name]
        spans = [by_id[labels["trace_id"], labels["span_id"]] for labels in exemplars[name]]
        assert all(span.name.startswith(kind) for span in spans)


def test_logs_name_the_trace(poisoned_root: Path, collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    lines: list[dict[str, object]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonFormatter().format(record)))

    caplog.set_level(logging.DEBUG, "semantic_palette_services")
    logging.getLogger("semantic_palette_services").addHandler(handler := Lines())
    poison = layout.LayoutItem(palette=common.Palette(shares={NAMES[POISON_CLASS]: 1.0}))
    try:
        with (
            serving_in_thread(poisoned_root, otlp_endpoint=collector.endpoint) as (_, stubs),
            pytest.raises(grpc.RpcError),
        ):
            stubs.layout.GenerateLayouts(
                layout.GenerateLayoutsRequest(items=[poison]), metadata=(("traceparent", SAMPLED_PARENT),)
            )
    finally:
        logging.getLogger("semantic_palette_services").removeHandler(handler)
    span_id = collector.one(f"{SERVICE}.LayoutService/GenerateLayouts").span_id
    internal = next(line for line in lines if str(line["message"]).startswith("internal error"))
    assert (internal["trace_id"], internal["span_id"]) == (TRACE_ID, span_id)
    ended = next(line for line in lines if line["message"] == "call ended")
    assert ended["method"] == f"{SERVICE}.LayoutService/GenerateLayouts"
    assert (ended["code"], ended["trace_id"]) == ("INTERNAL", TRACE_ID)
    assert str(ended["peer"]).startswith("ipv4:127.0.0.1")
    assert isinstance(ended["seconds"], float)
    assert ended["caller"] == "anyone"
    assert not any("trace_id" in line for line in lines if line["message"] == "draining")


def test_nothing_of_opentelemetry_is_imported_when_tracing_is_off(tiny_root: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from semantic_palette import AsyncClient
from semantic_palette_services import backend

async def main():
    async with backend.start(Path({str(tiny_root)!r}), None, "onnxruntime") as address, AsyncClient(address) as client:
        assert [pair.index async for pair in client.generate_pairs(2)] == [0, 1]

asyncio.run(main())
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_without_a_trace_a_block_is_just_a_block() -> None:
    with traced("layout", {"index": 1}), untraced(), traced("image", client=True), within(None):
        assert current_span() is None


def test_the_missing_extra_is_named(tiny_root: Path) -> None:
    program = f"""
import sys
sys.modules["opentelemetry"] = None
from semantic_palette.cli.main import run
sys.exit(run(["serve", "--model-store", {str(tiny_root)!r}, "--otlp-endpoint", "http://127.0.0.1:4317"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "otlp_endpoint" in done.stderr
    assert "semantic-palette[otel]" in done.stderr


def test_headers_that_are_no_trace_context_fill_no_log(
    tiny_root: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    headers = (("traceparent", SAMPLED_PARENT), ("tracestate", "c=" + "d" * 300), ("baggage", "e f=" + "g" * 2000))
    with serving_in_thread(tiny_root, services=("palette",), otlp_endpoint=collector.endpoint) as (_, stubs):
        stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest(), metadata=headers)
    assert not [record for record in caplog.records if "dddd" in record.getMessage() or "gggg" in record.getMessage()]
