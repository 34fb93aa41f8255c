"""What Prometheus scrapes after some work."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_helpers import Stubs, scrape, serving_in_thread
from prometheus_client.parser import text_string_to_metric_families
from tiny_bundle import NAMES

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette_services.server.lifecycle import RunningServer

PAIRS = 12
SHARES = {"sky": 0.5, "road": 0.5}
METHOD = "semantic_palette.v1.FactoryService/GeneratePairs"


@pytest.fixture(scope="module")
def worked(tiny_root: Path) -> Iterator[RunningServer]:
    """A server that has made pairs, and refused a request."""
    with serving_in_thread(tiny_root) as (server, stubs):
        work(stubs)
        yield server


def work(stubs: Stubs) -> None:
    palettes = factory.PaletteList(palettes=[common.Palette(shares=SHARES)])
    list(stubs.factory.GeneratePairs(factory.GeneratePairsRequest(count=PAIRS, palettes=palettes)))
    with pytest.raises(grpc.RpcError):
        stubs.layout.GenerateLayouts(layout.GenerateLayoutsRequest())


@pytest.fixture
def samples(worked: RunningServer) -> dict[str, float]:
    assert worked.metrics_port is not None
    return scrape(worked.metrics_port)


def test_calls_are_counted_by_method_and_code(samples: dict[str, float]) -> None:
    assert samples[f'semantic_palette_requests_total{{code="OK",method="{METHOD}"}}'] == 1
    refused = "semantic_palette.v1.LayoutService/GenerateLayouts"
    assert samples[f'semantic_palette_requests_total{{code="INVALID_ARGUMENT",method="{refused}"}}'] == 1
    assert samples[f'semantic_palette_inflight_requests{{method="{METHOD}"}}'] == 0
    assert samples[f'semantic_palette_request_duration_seconds_count{{method="{METHOD}"}}'] == 1


def test_durations_are_true_histograms(worked: RunningServer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{worked.metrics_port}/metrics", timeout=10) as response:
        families = {family.name: family for family in text_string_to_metric_families(response.read().decode())}
    for name in ("request_duration_seconds", "queue_duration_seconds", "batch_execution_duration_seconds"):
        family = families[f"semantic_palette_{name}"]
        assert family.type == "histogram"
        label = {"request_duration_seconds": ("method", METHOD)}.get(name, ("model", "layout"))
        buckets = [s for s in family.samples if s.name.endswith("_bucket") and s.labels[label[0]] == label[1]]
        bounds = [float(bucket.labels["le"]) for bucket in buckets]
        counts = [bucket.value for bucket in buckets]
        assert bounds[0] <= 0.001
        assert bounds[-2] >= 60
        assert bounds[-1] == float("inf")
        assert counts == sorted(counts)
        assert counts[-1] > 0


def test_what_answered_is_named_with_its_version(samples: dict[str, float]) -> None:
    assert samples['semantic_palette_items_total{bundle="tiny",model="image",version="1"}'] == PAIRS
    assert samples['semantic_palette_bundle_active{bundle="tiny",version="1"}'] == 1


def test_batches_are_described(samples: dict[str, float]) -> None:
    for model in ("layout", "image"):
        assert samples[f'semantic_palette_batch_size_sum{{model="{model}"}}'] == PAIRS
        assert samples[f'semantic_palette_queue_duration_seconds_count{{model="{model}"}}'] == PAIRS
        assert samples[f'semantic_palette_inflight_items{{model="{model}"}}'] == 0
        assert samples[f'semantic_palette_queue_depth{{model="{model}"}}'] == 0
    assert samples["semantic_palette_device_busy_seconds_total"] > 0
    assert samples['semantic_palette_model_load_duration_seconds{bundle="tiny",version="1"}'] > 0


def test_batches_are_told_with_the_most_that_they_may_have(worked: RunningServer, samples: dict[str, float]) -> None:
    assert worked.bundle is not None
    for operation, model in worked.bundle.models.items():
        limit = f'semantic_palette_batch_size_limit{{bundle="tiny",model="{operation}",version="1"}}'
        assert samples[limit] == model.max_batch_size


def test_models_are_named_with_engine_and_digest(worked: RunningServer, samples: dict[str, float]) -> None:
    assert worked.bundle is not None
    infos = [name for name in samples if name.startswith("semantic_palette_model_info")]
    assert len(infos) == 3
    sha256 = worked.bundle.models["image"].entry.sha256
    [image] = [name for name in infos if 'model="image"' in name]
    assert f'sha256="{sha256}"' in image
    assert f'digest="{worked.bundle.digest}"' in image
    assert 'engine="onnxruntime"' in image


def test_quality_is_measured(samples: dict[str, float]) -> None:
    assert samples["semantic_palette_pairs_total"] == PAIRS
    assert samples["semantic_palette_inflight_pairs"] == 0
    assert samples['semantic_palette_layouts_total{adherence="natural",bundle="tiny",version="1"}'] == PAIRS
    assert samples['semantic_palette_layout_kl_nats_count{adherence="natural",bundle="tiny",version="1"}'] == PAIRS
    requested, achieved = (
        [
            samples[
                f'semantic_palette_{kind}_share_total{{adherence="natural",bundle="tiny",class="{name}",version="1"}}'
            ]
            for name in NAMES[:6]
        ]
        for kind in ("requested", "achieved")
    )
    assert requested == [SHARES.get(name, 0.0) * PAIRS for name in NAMES[:6]]
    assert sum(achieved) == pytest.approx(PAIRS)
