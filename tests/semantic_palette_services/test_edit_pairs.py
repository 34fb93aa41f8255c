"""Streams of edited pairs: what is painted, what stays, plain and styled bundles, and stages in other processes."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_helpers import Stubs, asynchronous, eventually, sample, serving
from numpy.typing import NDArray
from PIL import Image
from tiny_bundle import EDITING, FACES, Tiny, write_tiny_bundle

from semantic_palette import editing
from semantic_palette.client import AsyncClient, ImageItem, StyleReference
from semantic_palette.layout import decode_png, encode_png
from semantic_palette.noise import standard_normal, uniforms
from semantic_palette.palette import histogram
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as pb
from semantic_palette.v1 import image_service_pb2 as image_pb
from semantic_palette.v1 import layout_service_pb2 as layout_pb
from semantic_palette_services.factory import edits as pair_edits
from semantic_palette_services.factory import servicer
from semantic_palette_services.layout import edit_operation
from semantic_palette_services.server.lifecycle import RunningServer

HEIGHT, WIDTH, K = 16, 32, 6
BOX = common.Box(left=4, top=2, right=28, bottom=14)
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[2:14, 4:28] = True
CAR = common.LayoutEdit(region=common.Region(box=BOX), target=common.ShareTargets(shares={"car": 0.4}))


@pytest.fixture(scope="module")
def plain_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plain") / "model_store"
    write_tiny_bundle(root, models=EDITING)
    return root


@pytest.fixture(scope="module")
def faces_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without layout generator, whose images are styled and whose editor adds."""
    root = tmp_path_factory.mktemp("faces") / "model_store"
    write_tiny_bundle(root, models=FACES, budget="additions", image="styled")
    return root


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint8]:
    """A layout without class 0, and with the last class outside of the box alone."""
    drawn = np.random.default_rng(5).integers(1, K - 1, (HEIGHT, WIDTH)).astype(np.uint8)
    drawn[0] = K - 1
    return drawn


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def source(
    labels: NDArray[np.uint8], photo: NDArray[np.uint8], image_format: str = "PNG", **fields: Any
) -> pb.EditSource:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    code = {"PNG": common.IMAGE_FORMAT_PNG, "JPEG": common.IMAGE_FORMAT_JPEG, "WEBP": common.IMAGE_FORMAT_WEBP}
    image = common.Image(format=code[image_format], data=buffer.getvalue())
    layout = common.LabelMap(data=encode_png(labels))
    return pb.EditSource(**({"layout": layout, "image": image, "edit": CAR} | fields))


async def edits(stubs: Stubs, *sources: pb.EditSource, count: int = 1, **fields: Any) -> list[pb.EditPairsResponse]:
    request = pb.EditPairsRequest(sources=sources, count=count, **fields)
    return [answer async for answer in stubs.factory.EditPairs(request)]


def pixels(pair: pb.Pair) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(pair.image.data)))


def scene(pair: pb.Pair) -> NDArray[np.uint8]:
    return decode_png(pair.layout.data, K, HEIGHT, WIDTH)


def serialised(answers: list[pb.EditPairsResponse]) -> list[bytes]:
    return [answer.SerializeToString(deterministic=True) for answer in answers]


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
async def test_a_pair_of_the_factory_keeps_its_look_and_its_surroundings(plain_root: Path, tiny: Tiny) -> None:
    async with serving(plain_root) as (_, stubs):
        request = pb.GeneratePairsRequest(count=1, seed=9, first_index=5)
        [made] = [answer.pair async for answer in stubs.factory.GeneratePairs(request)]
        given = pb.EditSource(layout=made.layout, image=made.image, edit=CAR, seed=9, index=5)
        answers = await edits(stubs, given, count=3, seed=1, first_index=2)
    before = scene(made)
    assert [answer.pair.provenance.index for answer in answers] == [2, 3, 4]
    assert len({answer.pair.layout.data for answer in answers}) == 3
    for answer in answers:
        after, drawn = scene(answer.pair), pixels(answer.pair)
        np.testing.assert_array_equal(after[~INSIDE], before[~INSIDE])
        np.testing.assert_array_equal(drawn[~INSIDE], pixels(made)[~INSIDE])
        expected = tiny.image(after[None], standard_normal(9, 5, "image", (1, 4)))[0].astype(int)
        assert np.abs(drawn - expected).max() <= 1  # all of it has the look of (9, 5)
        assert (after != before)[INSIDE].any()


@asynchronous
async def test_answers_say_what_became_of_region_and_frame(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    async with serving(plain_root) as (server, stubs):
        [answer] = await edits(stubs, source(labels, photo, seed=3, index=4), seed=8, deterministic=True)
    assert server.bundle is not None
    pair, region = answer.pair, answer.region
    names = server.bundle.label_space.names
    after = scene(pair)
    achieved = np.bincount(after[INSIDE], minlength=K) / INSIDE.sum()
    np.testing.assert_array_equal([region.achieved.shares[name] for name in names], achieved)
    assert region.requested.shares["car"] == pytest.approx(0.4)
    np.testing.assert_array_equal([pair.achieved.shares[name] for name in names], histogram(after, K))
    outside = np.bincount(labels[~INSIDE], minlength=K) / labels.size
    requested = outside + INSIDE.mean() * np.array([region.requested.shares[name] for name in names])
    np.testing.assert_allclose([pair.requested.shares[name] for name in names], requested, atol=1e-12)
    made = pair.provenance
    assert (made.seed, made.index, made.edit.seed, made.edit.index, made.deterministic) == (8, 0, 3, 4, True)
    assert made.palette_origin == common.PALETTE_ORIGIN_EDITED
    assert made.layout_engine.model_digest == server.bundle.models["editor"].entry.sha256
    assert made.image_engine.model_digest == server.bundle.models["image"].entry.sha256


@pytest.mark.parametrize("region", ["box", "mask", "frame"])
@asynchronous
async def test_provenance_and_the_sources_are_enough_to_make_a_pair_again(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8], region: str
) -> None:
    mask = common.LabelMap(
        encoding=common.LABEL_ENCODING_RAW, height=HEIGHT, width=WIDTH, data=(INSIDE * 77).astype(np.uint8).tobytes()
    )
    area = {"box": common.Region(box=BOX), "mask": common.Region(mask=mask), "frame": None}[region]
    edit = common.LayoutEdit(region=area, deltas=common.ShareDeltas(deltas={"car": 0.25}))
    known = {
        (hashlib.sha256(ids.tobytes()).hexdigest(), hashlib.sha256(image.tobytes()).hexdigest()): (ids, image)
        for ids, image in ((labels, photo), (labels[::-1], photo[::-1]))
    }
    sources = [source(ids, image, edit=edit, seed=3, index=4) for ids, image in known.values()]
    async with serving(plain_root) as (_, stubs):
        made = await edits(stubs, *sources, count=4, seed=8, deterministic=True)
        for answer in made:
            proof = answer.pair.provenance
            origin = proof.edit
            ids, image = known[origin.labels_sha256, origin.image_sha256]
            assert origin.source == proof.index % 2
            redo = source(ids, image, edit=origin.edit, seed=origin.seed, index=origin.index)
            [again] = await edits(stubs, redo, seed=proof.seed, first_index=proof.index, deterministic=True)
            assert again.pair.layout.data == answer.pair.layout.data
            assert again.pair.image.data == answer.pair.image.data


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "RAW"])
@asynchronous
async def test_lossless_images_keep_every_pixel_outside(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8], image_format: str
) -> None:
    code = {"PNG": common.IMAGE_FORMAT_PNG, "WEBP": common.IMAGE_FORMAT_WEBP, "RAW": common.IMAGE_FORMAT_RAW}
    raw = common.Image(format=common.IMAGE_FORMAT_RAW, height=HEIGHT, width=WIDTH, data=photo.tobytes())
    given = source(labels, photo, image=raw) if image_format == "RAW" else source(labels, photo, image_format)
    async with serving(plain_root) as (_, stubs):
        [answer] = await edits(stubs, given, image_format=code[image_format])
    if image_format == "RAW":
        drawn = np.frombuffer(answer.pair.image.data, np.uint8).reshape(photo.shape)
    else:
        drawn = pixels(answer.pair)
    np.testing.assert_array_equal(drawn[~INSIDE], photo[~INSIDE])
    assert (drawn != photo)[INSIDE].any()


@asynchronous
async def test_jpeg_is_encoded_anew(plain_root: Path, labels: NDArray[np.uint8]) -> None:
    smooth = np.full((HEIGHT, WIDTH, 3), (90, 120, 150), np.uint8)
    async with serving(plain_root) as (_, stubs):
        fields = {"image_format": common.IMAGE_FORMAT_JPEG, "image_quality": 90}
        [answer] = await edits(stubs, source(labels, smooth, "JPEG"), **fields)
    drawn = pixels(answer.pair).astype(int)
    assert answer.pair.image.format == common.IMAGE_FORMAT_JPEG
    assert 0 < np.abs(drawn - smooth)[~INSIDE].mean() < 12  # like the source, though not bit for bit


@asynchronous
async def test_sources_come_round_again_and_a_stream_resumes(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    sources = [source(labels, photo), source(labels[::-1], photo, seed=1), source(labels[:, ::-1], photo)]
    async with serving(plain_root) as (_, stubs):
        whole = await edits(stubs, *sources, count=20, deterministic=True)
        rest = await edits(stubs, *sources, count=13, first_index=7, deterministic=True)
    assert serialised(rest) == serialised(whole[7:])
    for i, answer in enumerate(whole):
        before = (labels, labels[::-1], labels[:, ::-1])[i % 3]
        np.testing.assert_array_equal(scene(answer.pair)[~INSIDE], before[~INSIDE])


@pytest.mark.parametrize("kind", ["plain", "faces"])
@asynchronous
async def test_separate_services_make_the_same_bytes_as_one_process(
    plain_root: Path, faces_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8], kind: str
) -> None:
    root = plain_root if kind == "plain" else faces_root
    delta = common.LayoutEdit(deltas=common.ShareDeltas(deltas={"sky": 0.25}))
    sources = [source(labels, photo, seed=2, index=3), source(labels, photo, edit=delta)]
    async with serving(root) as (_, stubs):
        together = await edits(stubs, *sources, count=12, seed=4, deterministic=True)
    async with separate_services(root) as (_, stubs):
        apart = await edits(stubs, *sources, count=12, seed=4, deterministic=True)
    assert serialised(apart) == serialised(together)


def borrowed(tiny: Tiny, seed: int, index: int) -> NDArray[np.float32]:
    """Styles of the bank's scene that (seed, index) picks; of the next that shows the class where it does not."""
    scenes = len(tiny.bank_styles)
    first = int(uniforms(seed, index, "style", 1)[0] * scenes)
    styles = np.zeros((K, 3), np.float32)
    for k in range(K):
        for scene in (np.arange(scenes) + first) % scenes:
            if tiny.bank_present[scene, k]:
                styles[k] = tiny.bank_styles[scene, k]
                break
    return styles


@asynchronous
async def test_whole_frames_are_counted_beside_the_event_loop(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[int]] = {}

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*args: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return function(*args)

        monkeypatch.setattr(module, name, watched)

    watch(editing, "region_palette")
    watch(edit_operation, "plan_edit")
    watch(edit_operation, "keep_outside")
    watch(pair_edits, "frame_palette")
    watch(pair_edits, "histogram")
    async with serving(plain_root) as (_, stubs):
        await edits(stubs, source(labels, photo), count=2)
    assert set(threads) == {"region_palette", "plan_edit", "keep_outside", "frame_palette", "histogram"}
    assert threading.get_ident() not in set().union(*threads.values())


@asynchronous
async def test_styled_pairs_keep_the_look_of_every_class(
    faces_root: Path, tiny: Tiny, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    grow = common.LayoutEdit(region=common.Region(box=BOX), deltas=common.ShareDeltas(deltas={"sky": 0.3, "car": 0.1}))
    async with serving(faces_root) as (_, stubs):
        [answer] = await edits(stubs, source(labels, photo, edit=grow, seed=11, index=2))
    after, drawn = scene(answer.pair), pixels(answer.pair).astype(int)
    assert (after[INSIDE] == 0).any()  # a class that the photo does not show
    styles = tiny.styles(photo[None], labels[None])[0]
    styles[0] = borrowed(tiny, 11, 2)[0]
    expected = tiny.styled_image(after[None], styles[None])[0].astype(int)
    assert np.abs(drawn - expected)[INSIDE].max() <= 1
    np.testing.assert_array_equal(drawn[~INSIDE], photo[~INSIDE])


@asynchronous
async def test_the_look_of_a_source_is_encoded_once(
    faces_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    sources = [source(labels, photo), source(labels, photo[::-1])]
    async with serving(faces_root) as (server, stubs):
        await edits(stubs, *sources, count=24)
        assert sample(server, "semantic_palette_batch_size_sum", model="image") == 24
        assert sample(server, "semantic_palette_batch_size_sum", model="style_encoder") == 2
        # The next call brings its sources anew; what it gets is not what somebody else's source looked like.
        await edits(stubs, source(labels, photo[:, ::-1]), count=2)
        assert sample(server, "semantic_palette_batch_size_sum", model="style_encoder") == 3


@asynchronous
async def test_styled_images_borrow_a_look_by_seed_and_index(
    faces_root: Path, tiny: Tiny, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    layout = common.LabelMap(data=encode_png(labels))
    reference = image_pb.StyleReference(
        layout=layout,
        image=common.Image(format=common.IMAGE_FORMAT_RAW, height=HEIGHT, width=WIDTH, data=photo.tobytes()),
    )
    items = [image_pb.ImageItem(layout=layout, seed=5, index=index) for index in range(8)]
    items.append(image_pb.ImageItem(layout=layout, reference=reference))
    request = image_pb.TranslateLayoutsRequest(items=items, image_format=common.IMAGE_FORMAT_RAW)
    async with serving(faces_root) as (_, stubs):
        images = (await stubs.image.TranslateLayouts(request)).images
        given = pb.GeneratePairsRequest(count=2, seed=5, first_index=6, layouts=pb.LayoutList(layouts=[layout]))
        pairs = [pixels(answer.pair) async for answer in stubs.factory.GeneratePairs(given)]
    drawn = [np.frombuffer(image.data, np.uint8).reshape(photo.shape).astype(int) for image in images]
    for index, image in enumerate(drawn[:8]):
        expected = tiny.styled_image(labels[None], borrowed(tiny, 5, index)[None])[0].astype(int)
        assert np.abs(image - expected).max() <= 1
    expected = tiny.styled_image(labels[None], tiny.styles(photo[None], labels[None]))[0].astype(int)
    assert np.abs(drawn[8] - expected).max() <= 1
    np.testing.assert_array_equal(pairs, drawn[6:8])


@asynchronous
async def test_a_client_gives_an_image_the_look_of_a_scene(
    faces_root: Path, tiny: Tiny, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    other = np.roll(labels, 5, axis=1)
    look = StyleReference(image=photo, layout=labels)
    async with serving(faces_root) as (server, _), AsyncClient(server.address) as client:
        items = [ImageItem(other, reference=look), ImageItem(other)]
        styled, borrowed_look = (await client.translate_layouts(items, image_format="raw")).images
        [answer] = [pair async for pair in client.generate_pairs(1, layouts=[labels])]
        again = [ImageItem(other, reference=StyleReference.of(answer))]
        [as_made] = (await client.translate_layouts(again, image_format="raw")).images
    expected = tiny.styled_image(other[None], tiny.styles(photo[None], labels[None]))[0].astype(int)
    assert np.abs(styled.decode().astype(int) - expected).max() <= 1
    made = answer.decode_image()
    expected = tiny.styled_image(other[None], tiny.styles(made[None], labels[None]))[0].astype(int)
    assert np.abs(as_made.decode().astype(int) - expected).max() <= 1
    assert styled.data != borrowed_look.data


@asynchronous
async def test_a_client_that_goes_leaves_no_work_behind(
    store_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    write_tiny_bundle(store_root, models=EDITING, work=20)
    async with serving(store_root) as (server, stubs):
        call = stubs.factory.EditPairs(pb.EditPairsRequest(count=100_000, sources=[source(labels, photo)]))
        await call.read()
        assert sample(server, "semantic_palette_inflight_pairs") > 0
        call.cancel()
        method = "semantic_palette.v1.FactoryService/EditPairs"
        await eventually(lambda: sample(server, "semantic_palette_inflight_requests", method=method) == 0)
        assert sample(server, "semantic_palette_inflight_pairs") == 0
        for model in ("editor", "image"):
            await eventually(lambda m=model: sample(server, "semantic_palette_inflight_items", model=m) == 0)
        assert sample(server, "semantic_palette_requests_total", method=method, code="CANCELLED") == 1


@asynchronous
async def test_the_deadline_of_a_stream_of_edits_is_kept(
    store_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8]
) -> None:
    write_tiny_bundle(store_root, models=EDITING, work=20)
    async with serving(store_root) as (server, stubs):
        call = stubs.factory.EditPairs(pb.EditPairsRequest(count=100_000, sources=[source(labels, photo)]), timeout=0.5)
        with pytest.raises(aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: sample(server, "semantic_palette_inflight_pairs") == 0)


@asynchronous
async def test_nothing_is_decoded_for_a_stream_that_is_refused(
    plain_root: Path, labels: NDArray[np.uint8], photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(plain_root, max_streams=1) as (_, stubs):
        raw = common.IMAGE_FORMAT_RAW
        first = stubs.factory.EditPairs(
            pb.EditPairsRequest(count=1_000_000, sources=[source(labels, photo)], image_format=raw)
        )
        await first.read()
        monkeypatch.delattr(servicer.codecs, "layout_from_proto")  # an INTERNAL error for whoever decodes
        layout = common.LabelMap(data=encode_png(labels))
        for call in (
            stubs.factory.EditPairs(pb.EditPairsRequest(count=1, sources=[source(labels, photo)])),
            stubs.factory.GeneratePairs(pb.GeneratePairsRequest(count=1, layouts=pb.LayoutList(layouts=[layout]))),
        ):
            with pytest.raises(aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()


LACKING = {
    "GeneratePairs": ("faces", "layout"),
    "GenerateLayouts": ("faces", "layout"),
    "exact": ("faces", "layout_scores"),
    "EditLayouts": ("basic", "editor"),
    "EditPairs": ("basic", "editor"),
    "TranslateLayouts": ("layouts", "image"),
    "styles": ("bankless", "style_bank"),
    "reference": ("encoderless", "style_encoder"),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, faces_root: Path, tiny_root: Path) -> dict[str, Path]:
    """Stores whose bundles lack something."""
    root = tmp_path_factory.mktemp("lacking")
    write_tiny_bundle(root / "layouts", models=("layout",))
    write_tiny_bundle(root / "bankless", models=FACES, image="styled", bank=False)
    write_tiny_bundle(root / "encoderless", models=("editor", "image"), image="styled")
    names = ("layouts", "bankless", "encoderless")
    return {"faces": faces_root, "basic": tiny_root, **{name: root / name for name in names}}


@pytest.mark.parametrize("call", LACKING)
@asynchronous
async def test_what_a_bundle_lacks_is_named_with_what_it_has(
    stores: dict[str, Path], labels: NDArray[np.uint8], photo: NDArray[np.uint8], call: str
) -> None:
    layout = common.LabelMap(data=encode_png(labels))
    one = layout_pb.LayoutItem(palette=common.Palette(shares={"road": 1.0}))
    reference = image_pb.StyleReference(layout=layout, image=source(labels, photo).image)
    asked: dict[str, Any] = {
        "GeneratePairs": pb.GeneratePairsRequest(count=1),
        "GenerateLayouts": layout_pb.GenerateLayoutsRequest(items=[one]),
        "exact": layout_pb.GenerateLayoutsRequest(items=[one], adherence=common.ADHERENCE_EXACT),
        "EditLayouts": layout_pb.EditLayoutsRequest(items=[layout_pb.EditItem(layout=layout, edit=CAR)]),
        "EditPairs": pb.EditPairsRequest(count=1, sources=[source(labels, photo)]),
        "TranslateLayouts": image_pb.TranslateLayoutsRequest(items=[image_pb.ImageItem(layout=layout)]),
        "styles": image_pb.TranslateLayoutsRequest(items=[image_pb.ImageItem(layout=layout)]),
        "reference": image_pb.TranslateLayoutsRequest(items=[image_pb.ImageItem(layout=layout, reference=reference)]),
    }
    store, missing = LACKING[call]
    async with serving(stores[store]) as (server, stubs):
        methods = {
            "GeneratePairs": lambda request: stubs.factory.GeneratePairs(request).read(),
            "EditPairs": lambda request: stubs.factory.EditPairs(request).read(),
            "GenerateLayouts": stubs.layout.GenerateLayouts,
            "exact": stubs.layout.GenerateLayouts,
            "EditLayouts": stubs.layout.EditLayouts,
        }
        with pytest.raises(aio.AioRpcError) as caught:
            await methods.get(call, stubs.image.TranslateLayouts)(asked[call])
        assert server.bundle is not None
        has = ", ".join(sorted(server.bundle.manifest.models))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == f"bundle tiny: there is no {missing}; the bundle has {has}"


@asynchronous
async def test_a_bank_is_not_needed_where_a_reference_shows_every_class(
    stores: dict[str, Path], photo: NDArray[np.uint8], tiny: Tiny
) -> None:
    everything = (np.arange(HEIGHT * WIDTH) % K).astype(np.uint8).reshape(HEIGHT, WIDTH)
    async with serving(stores["bankless"]) as (_, stubs):
        [answer] = await edits(stubs, source(everything, photo))
    expected = tiny.styled_image(scene(answer.pair)[None], tiny.styles(photo[None], everything[None]))[0].astype(int)
    assert np.abs(pixels(answer.pair) - expected)[INSIDE].max() <= 1


@asynchronous
async def test_images_need_no_latent(store_root: Path, labels: NDArray[np.uint8], tiny: Tiny) -> None:
    write_tiny_bundle(store_root, models=("image",), image="plain")
    layout = common.LabelMap(data=encode_png(labels))
    items = [image_pb.ImageItem(layout=layout, seed=seed) for seed in (1, 2)]
    request = image_pb.TranslateLayoutsRequest(items=items, image_format=common.IMAGE_FORMAT_RAW)
    async with serving(store_root) as (_, stubs):
        first, second = (await stubs.image.TranslateLayouts(request)).images
    assert first.data == second.data == tiny.colours[labels].astype(np.uint8).tobytes()
