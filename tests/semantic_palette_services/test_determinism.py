"""Same bundle, seed and index: same bytes, alone, in any batch, at any time, in any process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_helpers import Stubs, serving_in_process, serving_in_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout

SEEDS = st.integers(min_value=0, max_value=2**64 - 1)
INDICES = st.integers(min_value=0, max_value=2**63)
PROPERTY = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def here(tiny_root: Path) -> Iterator[Stubs]:
    """A server in this process whose batches hold up to eight items."""
    with serving_in_thread(tiny_root) as (_, stubs):
        yield stubs


@pytest.fixture(scope="module")
def elsewhere(tiny_root: Path) -> Iterator[Stubs]:
    """A server in another process."""
    with serving_in_process(tiny_root) as server, grpc.insecure_channel(server.address) as channel:
        yield Stubs.of(channel)


def layouts(stubs: Stubs, items: list[layout.LayoutItem], adherence: common.Adherence) -> list[bytes]:
    request = layout.GenerateLayoutsRequest(items=items, adherence=adherence, deterministic=True)
    return [entry.layout.data for entry in stubs.layout.GenerateLayouts(request).layouts]


def images(stubs: Stubs, items: list[image.ImageItem]) -> list[bytes]:
    request = image.TranslateLayoutsRequest(items=items, deterministic=True)
    return [entry.data for entry in stubs.image.TranslateLayouts(request).images]


@given(
    seed=SEEDS,
    indices=st.lists(INDICES, min_size=1, max_size=12),
    share=st.floats(min_value=0.05, max_value=0.95),
    adherence=st.sampled_from([common.ADHERENCE_NATURAL, common.ADHERENCE_EXACT]),
)
@PROPERTY
def test_items_do_not_depend_on_their_batch_or_process(
    here: Stubs, elsewhere: Stubs, seed: int, indices: list[int], share: float, adherence: common.Adherence
) -> None:
    palette = common.Palette(shares={"sky": share, "road": 1.0 - share})
    items = [layout.LayoutItem(palette=palette, seed=seed, index=index) for index in indices]
    together = layouts(here, items, adherence)
    assert together == list(itertools.chain(*(layouts(here, [item], adherence) for item in items)))
    assert together == layouts(elsewhere, items[::-1], adherence)[::-1]

    pictures = [
        image.ImageItem(layout=common.LabelMap(data=data), seed=seed, index=index)
        for data, index in zip(together, indices, strict=True)
    ]
    together = images(here, pictures)
    assert together == list(itertools.chain(*(images(here, [item]) for item in pictures)))
    assert together == images(elsewhere, pictures[::-1])[::-1]


@given(seed=SEEDS, first_index=INDICES, count=st.integers(min_value=1, max_value=12), skipped=st.integers(0, 11))
@PROPERTY
def test_pairs_do_not_depend_on_their_stream_or_process(
    here: Stubs, elsewhere: Stubs, seed: int, first_index: int, count: int, skipped: int
) -> None:
    skipped = min(skipped, count - 1)
    constraints = common.Constraints(minimum={"car": 0.05})

    def pairs(stubs: Stubs, first: int, number: int) -> list[bytes]:
        request = factory.GeneratePairsRequest(
            count=number,
            seed=seed,
            first_index=first,
            deterministic=True,
            sampling=factory.PaletteSampling(constraints=constraints),
        )
        return [answer.SerializeToString(deterministic=True) for answer in stubs.factory.GeneratePairs(request)]

    whole = pairs(here, first_index, count)
    assert whole == pairs(elsewhere, first_index, count)
    assert whole[skipped:] == pairs(here, first_index + skipped, count - skipped)
