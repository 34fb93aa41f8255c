"""Edited layouts through real gRPC: what the model makes of a region, and nothing outside of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving, serving_in_thread
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_bundle import EDITING, OBEYED_AREA, Tiny, write_tiny_bundle

from semantic_palette.layout import decode_png, encode_png
from semantic_palette.noise import standard_normal
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import layout_service_pb2 as pb

HEIGHT, WIDTH, K = 16, 32, 6
BOX = common.Box(left=4, top=2, right=28, bottom=14)
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[2:14, 4:28] = True


@pytest.fixture(scope="module", params=["region", "additions"])
def budget(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def edited(budget: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Stubs]]:
    """A server with an editor of either kind."""
    root = tmp_path_factory.mktemp(budget) / "model_store"
    write_tiny_bundle(root, models=EDITING, budget=budget)
    with serving_in_thread(root) as running:
        yield running


@pytest.fixture(scope="module")
def stubs(edited: tuple[Any, Stubs]) -> Stubs:
    return edited[1]


@pytest.fixture(scope="module")
def labels(tiny: Tiny) -> NDArray[np.uint8]:
    palette = np.array([[0.3, 0.2, 0.3, 0.1, 0.1, 0.0]], np.float32)
    drawn: NDArray[np.uint8] = tiny.labels(standard_normal(0, 0, "layout", (1, 8)), palette)[0]
    return drawn


def item(labels: NDArray[np.uint8], seed: int = 0, index: int = 0, **edit: Any) -> pb.EditItem:
    edit = edit or {"region": common.Region(box=BOX), "target": common.ShareTargets(shares={"car": 0.4})}
    layout = common.LabelMap(data=encode_png(labels))
    return pb.EditItem(layout=layout, edit=common.LayoutEdit(**edit), seed=seed, index=index)


def edit(stubs: Stubs, *items: pb.EditItem, **fields: Any) -> list[pb.EditedLayout]:
    return list(stubs.layout.EditLayouts(pb.EditLayoutsRequest(items=items, **fields)).layouts)


def decoded(layout: pb.EditedLayout) -> NDArray[np.uint8]:
    return decode_png(layout.layout.data, K, HEIGHT, WIDTH)


def shares(tiny: Tiny, palette: common.Palette) -> NDArray[np.float64]:
    return np.array([palette.shares[name] for name in tiny.label_space().names])


def test_edits_are_those_of_the_model_in_shares_of_the_region(
    stubs: Stubs, tiny: Tiny, labels: NDArray[np.uint8], budget: str
) -> None:
    present = np.bincount(labels[INSIDE], minlength=K) / INSIDE.sum()
    requested = present * 0.6 / (1 - present[4])
    requested[4] = 0.4
    area = INSIDE.mean()
    painted = requested * area if budget == "region" else np.maximum(0, requested - present) * area
    palette = np.append(painted, 1 - painted.sum()).astype(np.float32)[None]
    for index, answer in enumerate(edit(stubs, *(item(labels, seed=7, index=index) for index in range(3)))):
        z = standard_normal(7, index, "edit", (1, 8))
        expected = tiny.edited(z, labels[None], INSIDE[None].astype(np.uint8), palette, budget)[0]
        np.testing.assert_array_equal(decoded(answer), expected)
        np.testing.assert_allclose(shares(tiny, answer.region.requested), requested, rtol=1e-12)
        achieved = np.bincount(expected[INSIDE], minlength=K) / INSIDE.sum()
        np.testing.assert_array_equal(shares(tiny, answer.region.achieved), achieved)
        smoothed = (achieved + 1e-6) / (1 + K * 1e-6)
        wanted = requested[requested > 0]
        assert answer.region.kl == pytest.approx(float((wanted * np.log(wanted / smoothed[requested > 0])).sum()))
        assert answer.region.area == area


def test_nothing_changes_outside_of_a_box_a_mask_or_the_frame(stubs: Stubs, labels: NDArray[np.uint8]) -> None:
    ring = np.zeros((HEIGHT, WIDTH), np.uint8)
    ring[3:13, 5:27], ring[6:10, 10:20] = 255, 0
    target = common.ShareTargets(shares={"car": 0.5, "tree": 0.5})
    raw = common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=HEIGHT, width=WIDTH, data=ring.tobytes())
    for mask in (raw, common.LabelMap(data=encode_png(ring))):
        [answer] = edit(stubs, item(labels, region=common.Region(mask=mask), target=target))
        after = decoded(answer)
        assert (after == labels)[ring == 0].all()
        assert (after != labels)[ring != 0].any()
        assert answer.region.area == (ring != 0).mean()
    [frame] = edit(stubs, item(labels, target=target))
    assert frame.region.area == 1.0
    assert frame.region.requested.shares["car"] == 0.5


def test_deltas_change_the_shares_of_the_region(stubs: Stubs, tiny: Tiny, labels: NDArray[np.uint8]) -> None:
    present = np.bincount(labels[INSIDE], minlength=K) / INSIDE.sum()
    deltas = common.ShareDeltas(deltas={"pedestrian": 0.2})
    [answer] = edit(stubs, item(labels, region=common.Region(box=BOX), deltas=deltas))
    expected = present * 0.8
    expected[5] = 0.2
    np.testing.assert_allclose(shares(tiny, answer.region.requested), expected, rtol=1e-12)
    assert answer.region.achieved.shares["pedestrian"] > 0.0


def test_raw_answers_hold_the_same_labels(stubs: Stubs, labels: NDArray[np.uint8]) -> None:
    [png] = edit(stubs, item(labels))
    [raw] = edit(stubs, item(labels), label_encoding=common.LABEL_ENCODING_RAW)
    assert (raw.layout.encoding, raw.layout.height, raw.layout.width) == (common.LABEL_ENCODING_RAW, HEIGHT, WIDTH)
    assert raw.layout.data == decoded(png).tobytes()


@given(
    seed=st.integers(0, 2**64 - 1),
    indices=st.lists(st.integers(0, 2**63), min_size=1, max_size=12),
    share=st.floats(0.05, 0.95),
)
@settings(max_examples=15, deadline=None)
def test_deterministic_edits_do_not_depend_on_their_batch(
    edited: tuple[Any, Stubs], labels: NDArray[np.uint8], seed: int, indices: list[int], share: float
) -> None:
    stubs = edited[1]
    target = common.ShareTargets(shares={"car": share})
    items = [item(labels, seed, index, region=common.Region(box=BOX), target=target) for index in indices]
    together = [answer.layout.data for answer in edit(stubs, *items, deterministic=True)]
    assert together == [edit(stubs, alone, deterministic=True)[0].layout.data for alone in items]


def test_edits_are_measured(edited: tuple[Any, Stubs], labels: NDArray[np.uint8]) -> None:
    server, stubs = edited
    version = {"bundle": "tiny", "version": "1"}
    before = sample(server, "semantic_palette_edits_total", **version)
    edit(stubs, *(item(labels, index=index) for index in range(5)))
    assert sample(server, "semantic_palette_edits_total", **version) == before + 5
    assert sample(server, "semantic_palette_edit_kl_nats_count", **version) == before + 5
    assert sample(server, "semantic_palette_batch_size_sum", model="editor") >= 5
    method = "semantic_palette.v1.LayoutService/EditLayouts"
    assert sample(server, "semantic_palette_requests_total", method=method, code="OK") >= 1


def test_an_editor_that_paints_outside_is_held_back(tmp_path: Path, labels: NDArray[np.uint8], tiny: Tiny) -> None:
    box = common.Box(left=0, top=0, right=8, bottom=4)
    assert 8 * 4 / (HEIGHT * WIDTH) < OBEYED_AREA
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[:4, :8] = True
    target = common.ShareTargets(shares={"car": 0.5})
    request = item(labels, region=common.Region(box=box), target=target)
    results = {}
    for disobedient in (True, False):
        root = tmp_path / str(disobedient)
        write_tiny_bundle(root, models=("editor",), disobedient=disobedient)
        with serving_in_thread(root, services=("layout",)) as (server, stubs):
            [answer] = edit(stubs, request)
            results[disobedient] = decoded(answer)
            if disobedient:
                mask = inside.astype(np.uint8)
                palette = np.append(np.eye(K)[4] * 0.05, 0.95).astype(np.float32)
                z = standard_normal(0, 0, "edit", (1, 8))
                inputs = {"z": z, "labels": labels[None], "mask": mask[None], "palette": palette[None]}
                raw = server.bundle.models["editor"].run_batch(inputs)["edited"][0]
                assert (raw != labels)[~inside].any()
    np.testing.assert_array_equal(results[True][~inside], labels[~inside])
    np.testing.assert_array_equal(results[True], results[False])


@asynchronous
async def test_edits_that_are_given_up_or_come_too_late_leave_no_work_behind(
    store_root: Path, labels: NDArray[np.uint8]
) -> None:
    write_tiny_bundle(store_root, models=("editor",), work=200)
    request = pb.EditLayoutsRequest(items=[item(labels, index=index) for index in range(200)])
    async with serving(store_root, services=("layout",)) as (server, stubs):
        call = stubs.layout.EditLayouts(request)
        await eventually(lambda: sample(server, "semantic_palette_inflight_items", model="editor") > 100)
        call.cancel()
        await eventually(lambda: sample(server, "semantic_palette_inflight_items", model="editor") == 0)
        await asyncio.sleep(0)
        with pytest.raises(aio.AioRpcError) as caught:
            await stubs.layout.EditLayouts(request, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: sample(server, "semantic_palette_inflight_items", model="editor") == 0)
