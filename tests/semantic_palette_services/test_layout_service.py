"""Layouts over gRPC, compared with the tiny bundle's models in numpy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_helpers import Stubs, sample, serving_in_thread
from tiny_bundle import NAMES, POISON_CLASS, Tiny, write_tiny_bundle

from semantic_palette.layout import decode_png
from semantic_palette.noise import standard_normal
from semantic_palette.palette import kl_divergence
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as pb
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services import codecs

SHARES = {"sky": 0.31, "building": 0.2, "road": 0.29, "tree": 0.15, "car": 0.05}


@pytest.fixture(scope="module")
def stubs(tiny_root: Path) -> Iterator[Stubs]:
    with serving_in_thread(tiny_root, services=("palette", "layout")) as (_, stubs):
        yield stubs


def generate(stubs: Stubs, count: int = 5, **fields: Any) -> list[pb.GeneratedLayout]:
    palette = common.Palette(shares=SHARES)
    items = [pb.LayoutItem(palette=palette, seed=11, index=index) for index in range(count)]
    return list(stubs.layout.GenerateLayouts(pb.GenerateLayoutsRequest(items=items, **fields)).layouts)


def palette_of(tiny: Tiny, shares: dict[str, float]) -> Any:
    return np.array([shares.get(name, 0.0) for name in tiny.label_space().names])


def test_natural_layouts_are_those_of_the_model(stubs: Stubs, tiny: Tiny) -> None:
    layouts = generate(stubs, label_encoding=common.LABEL_ENCODING_RAW)
    palette = palette_of(tiny, SHARES)
    for index, layout in enumerate(layouts):
        z = standard_normal(11, index, "layout", (tiny.latent_size,))
        expected = tiny.labels(z[None], palette[None].astype(np.float32))[0]
        labels = np.frombuffer(layout.layout.data, dtype=np.uint8).reshape(tiny.height, tiny.width)
        np.testing.assert_array_equal(labels, expected)
        achieved = palette_of(tiny, dict(layout.achieved.shares))
        np.testing.assert_allclose(achieved, np.bincount(labels.ravel(), minlength=6) / labels.size)
        assert layout.kl == pytest.approx(float(kl_divergence(palette, achieved)))


def test_png_and_raw_hold_the_same_labels(stubs: Stubs, tiny: Tiny) -> None:
    [png] = generate(stubs, 1)
    [raw] = generate(stubs, 1, label_encoding=common.LABEL_ENCODING_RAW)
    assert (png.layout.encoding, raw.layout.encoding) == (common.LABEL_ENCODING_PNG, common.LABEL_ENCODING_RAW)
    assert (raw.layout.height, raw.layout.width) == (tiny.height, tiny.width)
    assert decode_png(png.layout.data, 6).tobytes() == raw.layout.data


def test_exact_layouts_meet_integer_budgets(stubs: Stubs, tiny: Tiny) -> None:
    pixels = tiny.height * tiny.width
    for layout in generate(stubs, adherence=common.ADHERENCE_EXACT):
        counts = {name: share * pixels for name, share in layout.achieved.shares.items()}
        assert all(abs(counts[name] - SHARES.get(name, 0.0) * pixels) < 1.0 for name in counts)


def test_exact_budgets_round_within_constraints(stubs: Stubs) -> None:
    minimum = {"car": 0.0499, "sky": 0.3099}
    layouts = generate(stubs, adherence=common.ADHERENCE_EXACT, constraints=common.Constraints(minimum=minimum))
    assert all(layout.achieved.shares[name] >= share for layout in layouts for name, share in minimum.items())


def test_classes_that_were_not_asked_for_do_not_appear(stubs: Stubs) -> None:
    for adherence in (common.ADHERENCE_NATURAL, common.ADHERENCE_EXACT):
        assert all(layout.achieved.shares["pedestrian"] == 0.0 for layout in generate(stubs, adherence=adherence))


def test_more_items_than_a_batch_come_back_in_order(stubs: Stubs) -> None:
    many = generate(stubs, 100, deterministic=True)
    assert [layout.layout.data for layout in many[:5]] == [
        layout.layout.data for layout in generate(stubs, 5, deterministic=True)
    ]


def test_palettes_are_read_and_written_outside_of_the_event_loop(stubs: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def noting(convert: Any) -> Any:
        def noted(*args: Any) -> Any:
            threads.add(threading.current_thread().name)
            return convert(*args)

        return noted

    monkeypatch.setattr(codecs, "palette_from_proto", noting(codecs.palette_from_proto))
    generate(stubs)
    monkeypatch.setattr(codecs, "palette_to_proto", noting(codecs.palette_to_proto))
    stubs.palette.SamplePalettes(palette.SamplePalettesRequest(count=20))
    assert threads
    assert all(name.startswith("worker") for name in threads)


def test_an_item_that_breaks_the_model_fails_its_own_call_without_telling_why(poisoned_root: Path) -> None:
    poison = pb.LayoutItem(palette=common.Palette(shares={NAMES[POISON_CLASS]: 1.0}))
    with serving_in_thread(poisoned_root, services=("layout",)) as (_, stubs):
        healthy = [
            stubs.layout.GenerateLayouts.future(
                pb.GenerateLayoutsRequest(items=[pb.LayoutItem(palette=common.Palette(shares=SHARES), index=index)])
            )
            for index in range(20)
        ]
        broken = stubs.layout.GenerateLayouts.future(pb.GenerateLayoutsRequest(items=[poison]))
        assert [len(call.result(30).layouts) for call in healthy] == [1] * 20
        assert broken.code() is grpc.StatusCode.INTERNAL
        assert broken.details().startswith("internal error ")
        assert len(broken.details()) < 40


def test_a_deadline_that_has_no_chance_is_refused_at_once(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=1500)
    item = pb.LayoutItem(palette=common.Palette(shares=SHARES))
    with serving_in_thread(store_root, services=("layout",)) as (server, stubs):
        started = time.monotonic()
        stubs.layout.GenerateLayouts(pb.GenerateLayoutsRequest(items=[item] * 8))
        batch_seconds = time.monotonic() - started
        with pytest.raises(grpc.RpcError) as caught:
            stubs.layout.GenerateLayouts(pb.GenerateLayoutsRequest(items=[item] * 80), timeout=4 * batch_seconds)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "the answer would take" in error.details()
        assert sample(server, "semantic_palette_shed_total", model="layout", reason="deadline") >= 1
