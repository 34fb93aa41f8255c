"""Editing by the clients, against real gRPC servers whose servicers are small and fail on demand."""

import asyncio
import hashlib
import io
import threading

import grpc
import numpy as np
import pytest
from client_talk import FAST, collect, talk
from fake_services import DIGEST, HEIGHT, SPACE, WIDTH, Fakes, Fault, draw_image, draw_layout, fake_pair, serving
from PIL import Image

from semantic_palette import Box, Client, EditedPair
from semantic_palette.client import (
    AsyncClient,
    EditItem,
    EditSource,
    EncodedImage,
    ImageItem,
    InvalidRequestError,
    NotFoundError,
    ProtocolError,
    StyleReference,
)
from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import encode_png
from semantic_palette.pair import EditOrigin, PaletteOrigin
from semantic_palette.palette import histogram
from semantic_palette.v1 import common_pb2

PALETTE = np.eye(SPACE.num_classes)[:3].mean(axis=0)
LABELS = draw_layout(PALETTE, 0)
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
BOX = Box(left=2, top=1, right=12, bottom=7)
INSIDE = BOX.mask(HEIGHT, WIDTH)


def files(pixels: np.ndarray, image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return buffer.getvalue()


class TestLayouts:
    def test_target_and_deltas_reach_the_service_and_shares_come_back(self):
        async def scenario(client, fakes):
            items = [
                EditItem(layout=LABELS, target={"car": 0.5}, region=BOX, seed=4, index=2),
                EditItem(layout=encode_png(LABELS), deltas={"car": 0.25}),
            ]
            return await client.edit_layouts(items, deterministic=True), fakes.requests[-1]

        batch, request = talk(scenario)
        boxed, whole = batch.layouts
        car = SPACE.id_of("car")
        assert boxed.region.requested[car] == pytest.approx(0.5)
        assert boxed.region.achieved[car] == (boxed.labels[INSIDE] == car).mean()
        assert boxed.region.area == INSIDE.mean()
        np.testing.assert_array_equal(boxed.labels[~INSIDE], LABELS[~INSIDE])
        assert whole.region.area == 1.0
        assert whole.region.requested[car] == pytest.approx(histogram(LABELS, SPACE.num_classes)[car] + 0.25)
        assert (request.deterministic, request.items[0].seed, request.items[0].index) == (True, 4, 2)
        assert (batch.bundle.digest, batch.engine.precision) == (DIGEST, "fp32")

    @pytest.mark.parametrize("mask", [INSIDE, INSIDE.astype(np.uint8) * 200, encode_png(INSIDE.astype(np.uint8))])
    def test_masks_come_as_arrays_and_as_png(self, mask):
        async def scenario(client, fakes):
            return await client.edit_layouts([EditItem(layout=LABELS, target={"car": 1.0}, region=mask)])

        [edited] = talk(scenario).layouts
        car = SPACE.id_of("car")
        np.testing.assert_array_equal(edited.labels == car, INSIDE | (LABELS == car))  # noqa: SIM300

    def test_what_the_service_refuses_names_its_field(self):
        async def scenario(client, fakes):
            with pytest.raises(InvalidRequestError) as caught:
                await client.edit_layouts([EditItem(layout=LABELS, deltas={"car": -0.5})])
            return caught.value

        assert talk(scenario).field == "items[0].edit.deltas[car]"

    def test_a_bundle_without_an_editor_is_not_found(self):
        fault = Fault(grpc.StatusCode.NOT_FOUND, "bundle fake: there is no editor; the bundle has layout")

        async def scenario(client, fakes):
            await client.label_space()
            fakes.faults = [fault, fault]
            with pytest.raises(NotFoundError, match="no editor"):
                await client.edit_layouts([EditItem(layout=LABELS, target={"car": 0.5})], digest=DIGEST)

        talk(scenario)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({}, "items[0]"),
            ({"target": {"car": 0.1}, "deltas": {"car": 0.1}}, "items[0]"),
            ({"target": {"car": "much"}}, "items[0]"),
            ({"target": {"car": 0.1}, "region": Box(-1, 0, 2, 2)}, "items[0].region"),
            ({"target": {"car": 0.1}, "region": np.zeros((2, 2))}, "items[0].region"),
            ({"target": {"car": 0.1}, "seed": -1}, "items[0].seed"),
            ({"target": {"car": 0.1}, "layout": np.zeros((2, 2))}, "items[0].layout"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_before_a_call(self, fields, field):
        async def scenario(client, fakes):
            with pytest.raises(InvalidInputError) as caught:
                await client.edit_layouts([EditItem(**({"layout": LABELS} | fields))])
            return caught.value.field, [type(request).__name__ for request in fakes.requests]

        named, asked = talk(scenario)
        assert named == field
        assert "EditLayoutsRequest" not in asked


class TestPairs:
    def test_edited_pairs_come_in_order_with_their_region_and_origin(self):
        source = EditSource(layout=LABELS, image=PHOTO, target={"car": 0.5}, region=BOX, seed=7, index=8)

        async def scenario(client, fakes):
            return await collect(client.edit_pairs([source], 3, seed=5, first_index=10))

        pairs = talk(scenario)
        assert [pair.index for pair in pairs] == [10, 11, 12]
        for pair in pairs:
            assert isinstance(pair, EditedPair)
            np.testing.assert_array_equal(pair.labels[~INSIDE], LABELS[~INSIDE])
            np.testing.assert_array_equal(pair.decode_image()[~INSIDE], PHOTO[~INSIDE])
            np.testing.assert_array_equal(pair.achieved, histogram(pair.labels, SPACE.num_classes))
            assert pair.region.requested[SPACE.id_of("car")] == pytest.approx(0.5)
            origin = pair.provenance.edit
            digest = hashlib.sha256(LABELS.tobytes()).hexdigest()
            assert origin == EditOrigin(7, 8, 0, digest, origin.image_sha256, BOX, {"car": 0.5}, None)
            assert (pair.provenance.seed, len(origin.image_sha256)) == (5, 64)
            assert pair.provenance.palette_origin is PaletteOrigin.EDITED

    def test_a_mask_comes_back_as_it_was_sent(self):
        mask = encode_png(INSIDE.astype(np.uint8))
        sources = [EditSource(layout=LABELS, image=PHOTO, target={"car": 0.5}, region=region) for region in (BOX, mask)]

        async def scenario(client, fakes):
            return await collect(client.edit_pairs(sources))

        origins = [pair.provenance.edit for pair in talk(scenario)]
        assert [(origin.source, origin.region) for origin in origins] == [(0, BOX), (1, mask)]

    def test_every_source_is_edited_once_by_default(self):
        sources = [EditSource(layout=LABELS, image=PHOTO, deltas={"car": share}) for share in (0.1, 0.2, 0.3)]

        async def scenario(client, fakes):
            return await collect(client.edit_pairs(sources))

        car = SPACE.id_of("car")
        before = histogram(LABELS, SPACE.num_classes)[car]
        assert [pair.requested[car] - before for pair in talk(scenario)] == pytest.approx([0.1, 0.2, 0.3])

    def test_a_pair_is_edited_with_the_look_that_it_has(self):
        pair = fake_pair(index=6, seed=3)

        async def scenario(client, fakes):
            [once] = await collect(client.edit_pairs([EditSource.of(pair, target={"car": 0.5}, region=BOX)], seed=9))
            [twice] = await collect(client.edit_pairs([EditSource.of(once, deltas={"car": 0.1})]))
            return once, twice

        once, twice = talk(scenario)
        for made in (once.provenance.edit, twice.provenance.edit):
            assert (made.seed, made.index) == (3, 6)
        assert (twice.provenance.edit.region, twice.provenance.edit.deltas) == (None, {"car": 0.1})
        np.testing.assert_array_equal(once.decode_image()[~INSIDE], pair.decode_image()[~INSIDE])

    @pytest.mark.parametrize(
        "image",
        [
            PHOTO,
            files(PHOTO, "png"),
            files(PHOTO, "jpeg"),
            files(PHOTO, "webp"),
            EncodedImage(PHOTO.tobytes(), "raw", HEIGHT, WIDTH),
        ],
    )
    def test_images_come_as_arrays_as_files_and_as_answers(self, image):
        async def scenario(client, fakes):
            stream = client.edit_pairs([EditSource(layout=LABELS, image=image, target={"car": 0.5})])
            try:
                await anext(stream)
            except Exception:
                assert isinstance(image, EncodedImage)  # which the fake cannot read
            await stream.aclose()
            return fakes.requests[-1].sources[0].image

        sent = talk(scenario)
        if isinstance(image, EncodedImage):
            assert (sent.format, sent.height, sent.width) == (common_pb2.IMAGE_FORMAT_RAW, HEIGHT, WIDTH)
        else:
            formats = {b"\x89": "PNG", b"\xff": "JPEG", b"R": "WEBP"}
            name = formats[image[:1]] if isinstance(image, bytes) else "PNG"
            assert sent.format == common_pb2.ImageFormat.Value(f"IMAGE_FORMAT_{name}")

    def test_a_broken_stream_goes_on_from_the_first_missing_edit(self):
        source = EditSource(layout=LABELS, image=PHOTO, target={"car": 0.5})

        async def scenario(client, fakes):
            await client.label_space()
            fakes.faults = [Fault(grpc.StatusCode.UNAVAILABLE, after=2)]
            pairs = await collect(client.edit_pairs([source], 5, digest=DIGEST))
            return pairs, fakes.requests[-2:]

        pairs, (first, second) = talk(scenario)
        assert [pair.index for pair in pairs] == [0, 1, 2, 3, 4]
        assert (first.first_index, second.first_index, second.count) == (0, 2, 3)
        assert first.bundle.digest == second.bundle.digest == DIGEST

    def test_an_answer_that_is_not_the_one_asked_for_is_a_protocol_error(self):
        source = EditSource(layout=LABELS, image=PHOTO, target={"car": 0.5})

        async def scenario(client, fakes):
            stream = client.edit_pairs([source], 3)
            await anext(stream)
            with pytest.raises(ProtocolError, match="answered pair 2 where 1 was due"):
                await anext(stream)

        talk(scenario, Fakes(skip_index=1))

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"sources": []}, "sources"),
            ({"count": 0}, "count"),
            ({"first_index": -1}, "first_index"),
            ({"image_format": "tiff"}, "image_format"),
            ({"timeout": 0}, "timeout"),
            ({"sources": [EditSource(layout=LABELS, image=b"GIF89a", target={})]}, "sources[0].image"),
            ({"sources": [EditSource(layout=LABELS, image=PHOTO[:, :, 0], target={})]}, "sources[0].image"),
            ({"sources": [EditSource(layout=LABELS, image=PHOTO)]}, "sources[0]"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_before_a_call(self, arguments, field):
        source = EditSource(layout=LABELS, image=PHOTO, target={"car": 0.5})

        async def scenario(client, fakes):
            with pytest.raises(InvalidInputError) as caught:
                client.edit_pairs(**({"sources": [source]} | arguments))
            assert not fakes.requests
            return caught.value.field

        assert talk(scenario) == field


def test_the_blocking_client_edits_as_the_asynchronous_one():
    source = EditSource(layout=LABELS, image=draw_image(LABELS), deltas={"car": 0.25}, region=BOX)
    item = EditItem(layout=LABELS, deltas={"car": 0.25}, region=BOX)
    ready, done, addresses = threading.Event(), threading.Event(), []

    async def serve():
        async with serving(Fakes()) as address:
            addresses.append(address)
            ready.set()
            await asyncio.to_thread(done.wait)

    async def asynchronous(address):
        async with AsyncClient(address, retry=FAST) as client:
            pairs = await collect(client.edit_pairs([source], 2))
            return pairs, (await client.edit_layouts([item])).layouts

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        with Client(addresses[0], retry=FAST) as client:
            pairs = list(client.edit_pairs([source], 2))
            [layout] = client.edit_layouts([item]).layouts
        other_pairs, [other_layout] = asyncio.run(asynchronous(addresses[0]))
    finally:
        done.set()
        thread.join()
    assert [pair.label_data for pair in pairs] == [pair.label_data for pair in other_pairs]
    assert [pair.image_data for pair in pairs] == [pair.image_data for pair in other_pairs]
    assert layout.label_data == other_layout.label_data


class TestReferences:
    def test_a_scene_reaches_the_service_with_its_item(self):
        async def scenario(client, fakes):
            look = StyleReference(image=PHOTO, layout=encode_png(LABELS))
            await client.translate_layouts([ImageItem(LABELS, reference=look), ImageItem(LABELS)])
            return fakes.requests[-1]

        first, second = talk(scenario).items
        assert first.reference.layout.data == encode_png(LABELS)
        with Image.open(io.BytesIO(first.reference.image.data)) as image:
            np.testing.assert_array_equal(np.asarray(image), PHOTO)
        assert not second.HasField("reference")

    def test_one_that_cannot_be_sent_names_its_field(self):
        async def scenario(client, fakes):
            wrong = StyleReference(image=PHOTO[:, :, 0], layout=LABELS)
            with pytest.raises(InvalidInputError, match=r"items\[1\].reference.image: 'uint8 \[\d+, \d+\]"):
                await client.translate_layouts([ImageItem(LABELS), ImageItem(LABELS, reference=wrong)])

        talk(scenario)
