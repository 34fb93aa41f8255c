"""Streams of pairs: order, content, flow control, cancellation, drain, and stages in other processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, local_settings, sample, serving
from tiny_bundle import NAMES, POISON_CLASS, write_tiny_bundle

from semantic_palette.layout import decode_png, encode_png
from semantic_palette.palette import histogram
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as pb
from semantic_palette_services.server.lifecycle import RunningServer, run_server

CLASSES = NAMES[:6]
HEIGHT, WIDTH = 16, 32


async def pairs_of(stubs: Stubs, **fields: Any) -> list[pb.Pair]:
    return [response.pair async for response in stubs.factory.GeneratePairs(pb.GeneratePairsRequest(**fields))]


def bytes_of(pairs: list[pb.Pair]) -> list[tuple[bytes, bytes, dict[str, float]]]:
    return [(pair.layout.data, pair.image.data, dict(pair.requested.shares)) for pair in pairs]


def palettes(*shares: dict[str, float]) -> pb.PaletteList:
    return pb.PaletteList(palettes=[common.Palette(shares=entry) for entry in shares])


@asynccontextmanager
async def separate_services(model_store: Path) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    """Each service on a server of its own; yields the factory's."""
    async with (
        serving(model_store, services=("palette",)) as (palette, _),
        serving(model_store, services=("layout",)) as (layout, _),
        serving(model_store, services=("image",)) as (image, _),
        serving(
            model_store,
            services=("factory",),
            palette_address=palette.address,
            layout_address=layout.address,
            image_address=image.address,
        ) as factory,
    ):
        yield factory


@asynchronous
async def test_pairs_come_in_order_and_say_how_they_were_made(tiny_root: Path) -> None:
    async with serving(tiny_root) as (server, stubs):
        pairs = await pairs_of(stubs, count=40, seed=5, first_index=100)
    assert server.bundle is not None
    assert [pair.provenance.index for pair in pairs] == list(range(100, 140))
    for pair in pairs:
        labels = decode_png(pair.layout.data, len(CLASSES), HEIGHT, WIDTH)
        achieved = histogram(labels, len(CLASSES))
        assert [pair.achieved.shares[name] for name in CLASSES] == list(achieved)
        assert sum(pair.requested.shares.values()) == pytest.approx(1.0)
        assert pair.provenance.bundle.digest == server.bundle.digest
        assert pair.provenance.palette_origin == common.PALETTE_ORIGIN_SAMPLED
        assert pair.provenance.layout_engine.engine == "onnxruntime"
        assert pair.provenance.image_engine.model_digest == server.bundle.models["image"].entry.sha256


@asynchronous
async def test_given_palettes_come_round_again(tiny_root: Path) -> None:
    given = palettes({"sky": 0.5, "road": 0.5}, {"tree": 1.0})
    async with serving(tiny_root) as (_, stubs):
        pairs = await pairs_of(stubs, count=3, first_index=1, palettes=given)
    assert [pair.requested.shares["tree"] for pair in pairs] == [1.0, 0.0, 1.0]
    assert {pair.provenance.palette_origin for pair in pairs} == {common.PALETTE_ORIGIN_GIVEN}


@asynchronous
async def test_the_callers_layouts_are_translated_as_they_are(tiny_root: Path) -> None:
    labels = [np.full((HEIGHT, WIDTH), value, dtype=np.uint8) for value in (1, 4)]
    given = pb.LayoutList(layouts=[common.LabelMap(data=encode_png(entry)) for entry in labels])
    async with serving(tiny_root) as (_, stubs):
        pairs = await pairs_of(stubs, count=3, layouts=given, label_encoding=common.LABEL_ENCODING_RAW)
    assert [pair.layout.data for pair in pairs] == [labels[0].tobytes(), labels[1].tobytes(), labels[0].tobytes()]
    assert pairs[0].requested == pairs[0].achieved
    assert pairs[0].requested.shares["building"] == 1.0
    assert pairs[0].kl == pytest.approx(0.0, abs=1e-4)
    assert pairs[0].provenance.palette_origin == common.PALETTE_ORIGIN_MEASURED
    assert not pairs[0].provenance.HasField("layout_engine")


@asynchronous
async def test_exact_pairs_meet_their_integer_budgets(tiny_root: Path) -> None:
    shares = {"sky": 0.3, "road": 0.25, "car": 0.45}
    async with serving(tiny_root) as (_, stubs):
        pairs = await pairs_of(stubs, count=12, seed=1, palettes=palettes(shares), adherence=common.ADHERENCE_EXACT)
    for pair in pairs:
        for name in CLASSES:
            assert abs(pair.achieved.shares[name] - shares.get(name, 0.0)) * HEIGHT * WIDTH < 1.0


@asynchronous
async def test_exact_pairs_hold_the_bounds_in_pixels(tiny_root: Path) -> None:
    constraints = common.Constraints(minimum={"car": 0.1005}, maximum={"sky": 0.2003})
    async with serving(tiny_root) as (_, stubs):
        pairs = await pairs_of(
            stubs,
            count=12,
            sampling=pb.PaletteSampling(constraints=constraints),
            adherence=common.ADHERENCE_EXACT,
        )
    assert all(pair.achieved.shares["car"] >= 0.1005 for pair in pairs)
    assert all(pair.achieved.shares["sky"] <= 0.2003 for pair in pairs)


@asynchronous
async def test_a_broken_stream_is_resumed_from_the_first_missing_index(tiny_root: Path) -> None:
    async with serving(tiny_root) as (_, stubs):
        whole = await pairs_of(stubs, count=30, seed=9, deterministic=True)
        digest = whole[0].provenance.bundle.digest
        rest = await pairs_of(
            stubs,
            bundle=common.BundleSelector(digest=digest),
            count=13,
            seed=9,
            first_index=17,
            deterministic=True,
        )
    assert bytes_of(rest) == bytes_of(whole[17:])


@pytest.mark.parametrize("adherence", [common.ADHERENCE_NATURAL, common.ADHERENCE_EXACT])
@asynchronous
async def test_separate_services_make_the_same_bytes_as_one_process(tiny_root: Path, adherence: int) -> None:
    constraints = common.Constraints(minimum={"car": 0.1}, fixed={"sky": 0.25})
    request: dict[str, Any] = {
        "count": 20,
        "seed": 3,
        "deterministic": True,
        "adherence": adherence,
        "sampling": pb.PaletteSampling(constraints=constraints),
    }
    async with serving(tiny_root) as (_, stubs):
        together = await pairs_of(stubs, **request)
    async with separate_services(tiny_root) as (_, stubs):
        apart = await pairs_of(stubs, **request)
    assert [pair.SerializeToString(deterministic=True) for pair in apart] == [
        pair.SerializeToString(deterministic=True) for pair in together
    ]


@asynchronous
async def test_errors_of_separate_services_reach_the_caller(tiny_root: Path) -> None:
    async with separate_services(tiny_root) as (_, stubs):
        with pytest.raises(aio.AioRpcError) as caught:
            await pairs_of(stubs, count=1, bundle=common.BundleSelector(name="cityscapes"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "cityscapes" in (caught.value.details() or "")


@asynchronous
async def test_a_stage_that_serves_another_digest_fails_the_precondition(tiny_root: Path, store_root: Path) -> None:
    write_tiny_bundle(store_root, seed=1)
    async with (
        serving(tiny_root, services=("palette",)) as (palette, _),
        serving(store_root, services=("layout", "image")) as (others, _),
        serving(
            tiny_root,
            services=("factory",),
            palette_address=palette.address,
            layout_address=others.address,
            image_address=others.address,
        ) as (_, stubs),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await pairs_of(stubs, count=1)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@asynchronous
async def test_a_slow_reader_holds_the_producer_back(store_root: Path) -> None:
    write_tiny_bundle(store_root, height=128, width=256)
    async with serving(store_root) as (server, stubs):
        call = stubs.factory.GeneratePairs(pb.GeneratePairsRequest(count=400, image_format=common.IMAGE_FORMAT_RAW))
        for _ in range(3):
            await call.read()
        await eventually(lambda: sample(server, "semantic_palette_inflight_pairs") == 0)
        made = sample(server, "semantic_palette_pairs_total")
        await asyncio.sleep(0.5)
        assert sample(server, "semantic_palette_pairs_total") == made
        assert made < 100
        await call.read()
        await call.read()
        call.cancel()


@asynchronous
async def test_a_client_that_goes_leaves_no_work_behind(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    async with serving(store_root) as (server, stubs):
        call = stubs.factory.GeneratePairs(pb.GeneratePairsRequest(count=100_000, adherence=common.ADHERENCE_EXACT))
        await call.read()
        assert sample(server, "semantic_palette_inflight_pairs") > 0
        call.cancel()
        method = "semantic_palette.v1.FactoryService/GeneratePairs"
        await eventually(lambda: sample(server, "semantic_palette_inflight_requests", method=method) == 0)
        assert sample(server, "semantic_palette_inflight_pairs") == 0
        for model in ("layout", "layout_scores", "image"):
            await eventually(lambda m=model: sample(server, "semantic_palette_inflight_items", model=m) == 0)
        assert sample(server, "semantic_palette_requests_total", method=method, code="CANCELLED") == 1
        made = sample(server, "semantic_palette_pairs_total")
        await asyncio.sleep(0.2)
        assert sample(server, "semantic_palette_pairs_total") == made


@asynchronous
async def test_a_client_that_is_killed_leaves_no_work_behind(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    program = """
import sys, grpc
from semantic_palette.v1 import factory_service_pb2 as pb
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
with grpc.insecure_channel(sys.argv[1]) as channel:
    for answer in FactoryServiceStub(channel).GeneratePairs(pb.GeneratePairsRequest(count=100_000)):
        print(answer.pair.provenance.index, flush=True)
"""
    async with serving(store_root) as (server, _):
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, server.address, stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        assert await client.stdout.readline() == b"0\n"
        assert sample(server, "semantic_palette_inflight_pairs") > 0
        client.kill()
        await client.wait()
        method = "semantic_palette.v1.FactoryService/GeneratePairs"
        await eventually(lambda: sample(server, "semantic_palette_inflight_requests", method=method) == 0)
        assert sample(server, "semantic_palette_inflight_pairs") == 0
        for model in ("layout", "image"):
            await eventually(lambda m=model: sample(server, "semantic_palette_inflight_items", model=m) == 0)


@asynchronous
async def test_a_poisoned_pair_fails_its_own_stream_alone(poisoned_root: Path) -> None:
    async with serving(poisoned_root) as (_, stubs):
        poison = {NAMES[POISON_CLASS]: 1.0}
        healthy = palettes({"road": 0.6, "tree": 0.4})
        bad, *good = await asyncio.gather(
            pairs_of(stubs, count=8, palettes=palettes({"road": 1.0}, poison)),
            *(pairs_of(stubs, count=20, seed=seed, palettes=healthy) for seed in range(4)),
            return_exceptions=True,
        )
    assert isinstance(bad, aio.AioRpcError)
    assert bad.code() is grpc.StatusCode.INTERNAL
    assert [len(pairs) for pairs in good if isinstance(pairs, list)] == [20] * 4


@asynchronous
async def test_too_many_streams_are_told_when_to_come_back(store_root: Path) -> None:
    write_tiny_bundle(store_root, height=128, width=256)
    async with serving(store_root, max_streams=1) as (_, stubs):
        first = stubs.factory.GeneratePairs(pb.GeneratePairsRequest(count=1000, image_format=common.IMAGE_FORMAT_RAW))
        await first.read()
        with pytest.raises(aio.AioRpcError) as caught:
            await pairs_of(stubs, count=1)
        first.cancel()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"] == "1000"


@asynchronous
async def test_more_streams_than_the_queues_hold_wait_for_each_other(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=5)
    async with serving(store_root, max_queue=8, max_items=8, max_batch_size=4) as (_, stubs):
        streams = await asyncio.gather(*(pairs_of(stubs, count=12, seed=seed) for seed in range(6)))
    assert [len(pairs) for pairs in streams] == [12] * 6


@asynchronous
async def test_a_draining_server_finishes_the_pairs_begun_then_says_unavailable(store_root: Path) -> None:
    write_tiny_bundle(store_root, work=20)
    received: list[int] = []

    async def read(stubs: Stubs) -> grpc.StatusCode:
        try:
            async for response in stubs.factory.GeneratePairs(pb.GeneratePairsRequest(count=100_000)):
                received.append(response.pair.provenance.index)
        except aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async with AsyncExitStack() as after:
        async with run_server(local_settings(store_root)) as server:
            channel = await after.enter_async_context(aio.insecure_channel(server.address))
            reading = asyncio.create_task(read(Stubs.of(channel)))
            await eventually(lambda: len(received) > 5)
        code = await reading
    assert code is grpc.StatusCode.UNAVAILABLE
    assert received == list(range(len(received)))
    assert len(received) == sample(server, "semantic_palette_pairs_total")
