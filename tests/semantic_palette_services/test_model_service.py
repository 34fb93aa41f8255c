"""Bundles come and go on a running server, and nobody who uses it notices more than the digest of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, administering, asynchronous, eventually, sample, serving, violations
from secret_files import TOKEN
from tiny_bundle import Tiny, corrupt, falsify, write_tiny_bundle

from semantic_palette.layout import decode_png
from semantic_palette.noise import standard_normal
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import model_service_pb2 as pb
from semantic_palette.v1 import palette_service_pb2 as palette
from semantic_palette_services.runtime.store import ModelStore

SHARES = {"sky": 0.5, "road": 0.3, "tree": 0.2}


@pytest.fixture
def versions(store_root: Path) -> dict[str, Tiny]:
    """Two versions of a bundle in the store, of which the first is active, by digest."""
    models = [write_tiny_bundle(store_root, version=v, seed=int(v), activate=v == "1") for v in ("1", "2")]
    store = ModelStore(store_root)
    return {store.open("tiny", version).digest: tiny for version, tiny in zip("12", models, strict=True)}


def expected_labels(tiny: Tiny, seed: int, index: int) -> np.ndarray:
    z = standard_normal(seed, index, "layout", (tiny.latent_size,))
    shares = np.array([SHARES.get(entry.name, 0.0) for entry in tiny.label_space().classes], np.float32)
    return tiny.labels(z[None], shares[None])[0]


def activate(version: str, **fields: Any) -> pb.ActivateBundleRequest:
    return pb.ActivateBundleRequest(name="tiny", version=version, **fields)


def stream_request(count: int, **fields: Any) -> factory.GeneratePairsRequest:
    palettes = factory.PaletteList(palettes=[common.Palette(shares=SHARES)])
    return factory.GeneratePairsRequest(count=count, seed=5, palettes=palettes, **fields)


def layout_request(index: int = 0, **selector: str) -> layout.GenerateLayoutsRequest:
    item = layout.LayoutItem(palette=common.Palette(shares=SHARES), seed=5, index=index)
    return layout.GenerateLayoutsRequest(bundle=common.BundleSelector(**selector), items=[item])


async def version_of(stubs: Stubs, **selector: str) -> str:
    return str((await stubs.layout.GenerateLayouts(layout_request(**selector))).bundle.version)


async def states(admin: Any) -> dict[str, int]:
    answer = await admin.ListBundles(pb.ListBundlesRequest())
    return {f"{held.bundle.name}/{held.bundle.version}": held.state for held in answer.memory}


@asynccontextmanager
async def failing(code: grpc.StatusCode, text: str) -> AsyncIterator[None]:
    with pytest.raises(aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert text in str(caught.value.details())


@asynchronous
async def test_a_swap_under_load_loses_nothing(store_root: Path, versions: dict[str, Tiny]) -> None:
    old, new = versions
    answered: dict[str, int] = dict.fromkeys(versions, 0)
    async with administering(store_root, unload_delay=0.0) as (server, stubs, admin):
        stop = asyncio.Event()

        async def ask(client: int) -> None:
            index = client
            while not stop.is_set():
                answer = await stubs.layout.GenerateLayouts(layout_request(index))
                labels = decode_png(answer.layouts[0].layout.data, 6)
                np.testing.assert_array_equal(labels, expected_labels(versions[answer.bundle.digest], 5, index))
                answered[answer.bundle.digest] += 1
                index += 8

        async def stream() -> list[tuple[str, int]]:
            pairs = stubs.factory.GeneratePairs(stream_request(200))
            return [(p.pair.provenance.bundle.digest, p.pair.provenance.index) async for p in pairs]

        clients = [asyncio.create_task(ask(client)) for client in range(8)]
        streams = [asyncio.create_task(stream()) for _ in range(3)]
        await asyncio.sleep(0.1)
        activated = await admin.ActivateBundle(activate("2"))
        assert (activated.bundle.bundle.digest, activated.previous_version) == (new, "1")
        later = asyncio.create_task(stream())
        assert await version_of(stubs) == "2"
        counted = dict(answered)
        await eventually(lambda: answered[new] > counted[new] + 8)
        stop.set()
        await asyncio.gather(*clients)
        for begun in streams:
            assert await begun == [(old, index) for index in range(200)]
        assert await later == [(new, index) for index in range(200)]
        assert answered[old] > 0
        await eventually(lambda: len(server.bundles.held) == 1 if server.bundles is not None else False)
        assert await states(admin) == {"tiny/2": pb.BUNDLE_STATE_ACTIVE}
        assert " version=1 " not in metrics_of(server)
        assert sample(server, "semantic_palette_items_total", bundle="tiny", version="2", model="image") == 200
        assert sample(server, "semantic_palette_bundle_changes_total", action="activate", outcome="ok") == 1
    assert ModelStore(store_root).active_version("tiny") == "2"
    assert ModelStore(store_root).previous_version("tiny") == "1"


def metrics_of(server: Any) -> str:
    """Every label set of every sample."""
    families = server.metrics.registry.collect()
    return " ".join(f"{key}={value}" for f in families for s in f.samples for key, value in s.labels.items())


@asynchronous
async def test_a_pinned_version_answers_whatever_is_active(store_root: Path, versions: dict[str, Tiny]) -> None:
    old, new = versions
    async with administering(store_root) as (_, stubs, admin):
        async with failing(grpc.StatusCode.FAILED_PRECONDITION, "pinned to version '2', this server serves '1'"):
            await version_of(stubs, version="2")
        loaded = await admin.LoadBundle(pb.LoadBundleRequest(name="tiny", version="2", digest=new))
        assert loaded.bundle.state == pb.BUNDLE_STATE_LOADED
        assert {m.operation: m.engine.engine for m in loaded.bundle.models}["image"] == "onnxruntime"
        assert "golden samples" in loaded.bundle.models[0].explanation
        assert await version_of(stubs) == "1"
        for selector in ({"version": "2"}, {"digest": new}, {"name": "tiny", "version": "2", "digest": new}):
            assert await version_of(stubs, **selector) == "2"
        await admin.ActivateBundle(activate("2", keep_previous=True))
        assert await states(admin) == {"tiny/1": pb.BUNDLE_STATE_LOADED, "tiny/2": pb.BUNDLE_STATE_ACTIVE}
        assert await version_of(stubs, digest=old) == "1"
        pairs = stubs.factory.GeneratePairs(stream_request(3, bundle=common.BundleSelector(version="1")))
        assert {p.pair.provenance.bundle.digest async for p in pairs} == {old}
        image_request = image.TranslateLayoutsRequest(
            bundle=common.BundleSelector(version="1"), items=[image.ImageItem(layout=raw_layout())]
        )
        assert (await stubs.image.TranslateLayouts(image_request)).bundle.digest == old
        drawn = await stubs.palette.SamplePalettes(
            palette.SamplePalettesRequest(count=1, bundle=common.BundleSelector(version="1"))
        )
        assert drawn.bundle.digest == old


def raw_layout() -> common.LabelMap:
    return common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=16, width=32, data=bytes(16 * 32))


@asynchronous
async def test_a_retired_version_that_is_loaded_again_stays(store_root: Path, versions: dict[str, Tiny]) -> None:
    async with administering(store_root, unload_delay=60.0) as (_, _, admin):
        await admin.ActivateBundle(activate("2"))
        assert (await states(admin))["tiny/1"] == pb.BUNDLE_STATE_RETIRED
        await admin.LoadBundle(pb.LoadBundleRequest(name="tiny", version="1"))
        await admin.LoadBundle(pb.LoadBundleRequest(name="tiny", version="2"))
        assert await states(admin) == {"tiny/1": pb.BUNDLE_STATE_LOADED, "tiny/2": pb.BUNDLE_STATE_ACTIVE}


@asynchronous
async def test_rolling_back_twice_is_back_where_it_was(store_root: Path, versions: dict[str, Tiny]) -> None:
    async with administering(store_root) as (_, stubs, admin):
        async with failing(grpc.StatusCode.NOT_FOUND, "no version was active before"):
            await admin.RollbackBundle(pb.RollbackBundleRequest(name="tiny"))
        await admin.ActivateBundle(activate("2"))
        for version, before in (("1", "2"), ("2", "1")):
            answer = await admin.RollbackBundle(pb.RollbackBundleRequest(name="tiny"))
            assert (answer.bundle.bundle.version, answer.previous_version) == (version, before)
            assert await version_of(stubs) == version
            assert ModelStore(store_root).active_version("tiny") == version


def break_file(store: Path) -> None:
    corrupt(store / "tiny" / "2" / "image.onnx")


def break_golden(store: Path) -> None:
    falsify(store / "tiny" / "2")


def forbid_writing(store: Path) -> None:
    (store / "tiny" / "active").unlink()
    (store / "tiny" / "active").mkdir()
    (store / "tiny" / "active" / "file").touch()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (break_file, "image.onnx"),
        (break_golden, "no engine reproduces the golden outputs"),
        (forbid_writing, "the model store cannot note it as active"),
    ],
)
@asynchronous
async def test_a_version_that_cannot_serve_changes_nothing(
    store_root: Path, versions: dict[str, Tiny], spoil: Callable[[Path], None], reason: str
) -> None:
    old, _ = versions
    async with administering(store_root) as (server, stubs, admin):
        spoil(store_root)
        stream = stubs.factory.GeneratePairs(stream_request(60))
        async with failing(grpc.StatusCode.FAILED_PRECONDITION, reason):
            await admin.ActivateBundle(activate("2"))
        assert [p.pair.provenance.bundle.digest async for p in stream] == [old] * 60
        assert await version_of(stubs) == "1"
        assert await states(admin) == {"tiny/1": pb.BUNDLE_STATE_ACTIVE}
        assert sample(server, "semantic_palette_bundle_changes_total", action="activate", outcome="failed") == 1
        assert ModelStore(store_root).active_version("tiny") in ("1", None)


@asynchronous
async def test_bundles_of_different_classes_are_served_at_once(store_root: Path) -> None:
    write_tiny_bundle(store_root, "street", num_classes=6)
    write_tiny_bundle(store_root, "yard", num_classes=4, height=8, width=8, seed=3)
    async with administering(store_root, bundle="street,yard/1") as (server, stubs, admin):
        spaces = {
            name: await stubs.palette.GetLabelSpace(
                palette.GetLabelSpaceRequest(bundle=common.BundleSelector(name=name))
            )
            for name in ("", "street", "yard")
        }
        assert spaces[""] == spaces["street"]
        assert (len(spaces["street"].classes), len(spaces["yard"].classes), spaces["yard"].width) == (6, 4, 8)

        async def pairs(name: str) -> list[common.LabelMap]:
            request = factory.GeneratePairsRequest(count=10, bundle=common.BundleSelector(name=name))
            return [answer.pair.layout async for answer in stubs.factory.GeneratePairs(request)]

        street, yard = await asyncio.gather(pairs("street"), pairs("yard"))
        assert {(m.height, m.width) for m in street} == {(16, 32)}
        assert {(m.height, m.width) for m in yard} == {(8, 8)}
        for name in ("street", "yard"):
            labels = {"bundle": name, "version": "1", "adherence": "natural"}
            assert sample(server, "semantic_palette_layouts_total", **labels) == 10
        assert sample(server, "semantic_palette_queue_depth", model="layout") == 0
        async with failing(grpc.StatusCode.NOT_FOUND, "'lake' is not served here; served: 'street', 'yard'"):
            await version_of(stubs, name="lake")
        async with failing(grpc.StatusCode.FAILED_PRECONDITION, "activate another version first"):
            await admin.UnloadBundle(pb.UnloadBundleRequest(name="street", version="1"))
        assert (await admin.UnloadBundle(pb.UnloadBundleRequest(name="yard", version="1"))).requests == 0
        async with failing(grpc.StatusCode.NOT_FOUND, "'yard' is not served here"):
            await version_of(stubs, name="yard")
        await admin.ActivateBundle(pb.ActivateBundleRequest(name="yard", version="1"))
        assert len(await pairs("yard")) == 10


@asynchronous
async def test_a_stream_keeps_its_version_until_it_ends_or_is_ended(
    store_root: Path, versions: dict[str, Tiny]
) -> None:
    old, _ = versions
    async with administering(store_root, unload_delay=0.0) as (_, stubs, admin):
        stream = stubs.factory.GeneratePairs(stream_request(100_000))
        first = await stream.read()
        assert first.pair.provenance.bundle.digest == old
        await admin.ActivateBundle(activate("2"))
        answer = await admin.UnloadBundle(pb.UnloadBundleRequest(name="tiny", version="1"))
        assert answer.requests >= 1
        for index in range(1, 100):
            assert (await stream.read()).pair.provenance.index == index
        ended = admin.UnloadBundle(pb.UnloadBundleRequest(name="tiny", version="1", force=True))
        index = 99
        async with failing(grpc.StatusCode.UNAVAILABLE, "bundle tiny/1"):
            while (answer := await stream.read()) is not aio.EOF:
                index += 1
                assert answer.pair.provenance.index == index
                assert answer.pair.provenance.bundle.digest == old
        assert (await ended).requests == 0
        assert await states(admin) == {"tiny/2": pb.BUNDLE_STATE_ACTIVE}
        assert index < 99_999


@asynchronous
async def test_a_retired_version_finishes_the_streams_of_factories_elsewhere(
    store_root: Path, versions: dict[str, Tiny], tmp_path: Path
) -> None:
    old, new = versions
    token = tmp_path / "token"
    token.write_text(TOKEN)
    stages = ("palette", "layout", "image")
    async with administering(store_root, services=stages, unload_delay=60.0) as (server, _, admin):
        addresses = {f"{stage}_address": server.address for stage in stages}
        async with serving(store_root, services=("factory",), stage_token_file=token, **addresses) as (_, stubs):
            stream = stubs.factory.GeneratePairs(stream_request(150))
            digests = [(await stream.read()).pair.provenance.bundle.digest]
            await admin.ActivateBundle(activate("2"))
            assert await states(admin) == {"tiny/1": pb.BUNDLE_STATE_RETIRED, "tiny/2": pb.BUNDLE_STATE_ACTIVE}
            while (answer := await stream.read()) is not aio.EOF:
                digests.append(answer.pair.provenance.bundle.digest)
            assert digests == [old] * 150
            later = stubs.factory.GeneratePairs(stream_request(3))
            assert {answer.pair.provenance.bundle.digest async for answer in later} == {new}
        assert (await admin.UnloadBundle(pb.UnloadBundleRequest(name="tiny", version="1"))).requests == 0


@asynchronous
async def test_a_change_outlives_its_caller_and_changes_wait_for_each_other(
    store_root: Path, versions: dict[str, Tiny]
) -> None:
    async with administering(store_root) as (server, stubs, admin):
        impatient = admin.ActivateBundle(activate("2"))
        others = [asyncio.create_task(_code(admin.LoadBundle(request))) for request in [_load("2")] * 4]
        await asyncio.sleep(0.02)
        impatient.cancel()
        assert await asyncio.gather(*others) == [grpc.StatusCode.OK] * 4
        await eventually(lambda: server.bundle is not None and server.bundle.version == "2")
        assert [held.bundle.version for held in server.bundles.held] == ["1", "2"]
        assert await version_of(stubs) == "2"


@asynchronous
async def test_a_server_that_stops_gives_up_what_it_is_loading(store_root: Path) -> None:
    write_tiny_bundle(store_root)
    write_tiny_bundle(store_root, version="2", seed=1, work=500, activate=False)
    async with administering(store_root) as (server, stubs, admin):
        loading = asyncio.ensure_future(_code(admin.ActivateBundle(activate("2"))))
        await asyncio.sleep(0.2)
        assert await version_of(stubs) == "1"
        assert server.bundles is not None
    with pytest.raises((asyncio.CancelledError, aio.AioRpcError)):
        await loading
    assert [held.bundle.version for held in server.bundles.held] == ["1"]
    assert sample(server, "semantic_palette_bundle_changes_total", action="activate", outcome="failed") == 1
    assert ModelStore(store_root).active_version("tiny") == "1"


def _load(version: str) -> pb.LoadBundleRequest:
    return pb.LoadBundleRequest(name="tiny", version=version)


async def _code(call: Any) -> grpc.StatusCode:
    await call
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "tiny"}, "version"),
        ({"version": "1"}, "name"),
        ({"name": "../tiny", "version": "1"}, "bundle"),
        ({"name": "tiny", "version": "/etc"}, "version"),
        ({"name": "tiny", "version": "x" * 5000}, "version"),
        ({"name": "tiny", "version": "1", "digest": "sha256:1"}, "digest"),
    ],
)
@asynchronous
async def test_a_request_that_is_no_name_is_refused(tiny_root: Path, fields: dict[str, str], field: str) -> None:
    async with administering(tiny_root, services=("palette",)) as (_, _, admin):
        with pytest.raises(aio.AioRpcError) as caught:
            await admin.LoadBundle(pb.LoadBundleRequest(**fields))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert [name for name, _ in violations(caught.value)] == [field]


@asynchronous
async def test_a_version_that_is_not_in_the_store_is_not_found(tiny_root: Path) -> None:
    async with administering(tiny_root, services=("palette",)) as (_, _, admin):
        async with failing(grpc.StatusCode.NOT_FOUND, "tiny/7: not in"):
            await admin.LoadBundle(_load("7"))
        async with failing(grpc.StatusCode.FAILED_PRECONDITION, "wanted " + "0" * 64):
            await admin.LoadBundle(pb.LoadBundleRequest(name="tiny", version="1", digest="0" * 64))


@asynchronous
async def test_without_an_admin_port_nothing_can_be_changed(tiny_root: Path) -> None:
    from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub

    async with serving(tiny_root, services=("palette",)) as (server, stubs):
        assert server.admin_address is None
        async with failing(grpc.StatusCode.UNIMPLEMENTED, ""):
            await ModelServiceStub(stubs.channel).ListBundles(pb.ListBundlesRequest())


@asynchronous
async def test_of_several_versions_the_first_is_active(store_root: Path, versions: dict[str, Tiny]) -> None:
    async with administering(store_root, bundle="tiny/2,tiny/1,tiny/2") as (_, stubs, admin):
        assert await states(admin) == {"tiny/2": pb.BUNDLE_STATE_ACTIVE, "tiny/1": pb.BUNDLE_STATE_LOADED}
        assert await version_of(stubs) == "2"
        assert await version_of(stubs, version="1") == "1"
