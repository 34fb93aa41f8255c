"""The clients against real gRPC servers whose servicers are small and fail on demand."""

import asyncio
import gc
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from client_talk import FAST, collect, talk
from fake_services import DIGEST, HEIGHT, SPACE, WIDTH, Fakes, Fault, draw_layout

from semantic_palette import client as client_module
from semantic_palette.client import (
    AsyncClient,
    BundleMismatchError,
    Client,
    ClientClosedError,
    DeadlineError,
    ImageItem,
    InvalidRequestError,
    LayoutItem,
    NotFoundError,
    ProtocolError,
    ServiceError,
    UnavailableError,
)
from semantic_palette.constraints import Constraints
from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette.pair import Adherence, PaletteOrigin
from semantic_palette.palette import histogram


class TestCalls:
    def test_describes_a_bundle_with_every_property_of_its_classes(self):
        async def scenario(client, fakes):
            return await client.label_space()

        description = talk(scenario)
        assert description.label_space == SPACE
        assert (description.height, description.width) == (HEIGHT, WIDTH)
        assert (description.identity.name, description.identity.digest) == ("fake", DIGEST)

    def test_samples_palettes_within_constraints_from_an_index_on(self):
        async def scenario(client, fakes):
            constraints = Constraints(minimum={"pedestrian": 0.3})
            many = await client.sample_palettes(5, seed=3, constraints=constraints)
            return many, await client.sample_palettes(2, seed=3, first_index=3, constraints=constraints)

        many, tail = talk(scenario)
        assert [palette.index for palette in many] == [0, 1, 2, 3, 4]
        assert all(palette.palette[SPACE.id_of("pedestrian")] >= 0.3 - 1e-9 for palette in many)
        assert many[0].origin is PaletteOrigin.SAMPLED
        np.testing.assert_array_equal([p.palette for p in many[3:]], [p.palette for p in tail])

    def test_generates_layouts_from_names_and_from_arrays(self):
        palette = np.zeros(SPACE.num_classes)
        palette[[SPACE.id_of("road"), SPACE.id_of("sky")]] = 0.75, 0.25

        async def scenario(client, fakes):
            items = [LayoutItem({"Road": 0.75, "sky": 0.25}), LayoutItem(palette, seed=4, index=2)]
            return await client.generate_layouts(items, adherence="exact", deterministic=True), fakes.requests[-1]

        batch, request = talk(scenario)
        assert [layout.labels.shape for layout in batch.layouts] == [(HEIGHT, WIDTH)] * 2
        np.testing.assert_array_equal(batch.layouts[0].achieved, palette)
        np.testing.assert_array_equal(batch.layouts[1].labels, draw_layout(palette, 2))
        assert batch.engine.precision == "fp32"
        assert (request.deterministic, request.adherence, request.items[1].seed) == (True, 2, 4)

    def test_translates_label_maps_and_png_files(self):
        labels = draw_layout(np.eye(SPACE.num_classes)[:2].mean(axis=0), 0)

        async def scenario(client, fakes):
            first = await client.translate_layouts([ImageItem(labels)])
            layout = (await client.generate_layouts([LayoutItem({"sky": 0.5, "building": 0.5})])).layouts[0]
            return first, await client.translate_layouts([ImageItem(layout.label_data)])

        from_labels, from_png = talk(scenario)
        pixels = from_labels.images[0].decode()
        assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert from_png.images[0].data == from_labels.images[0].data

    def test_pairs_carry_layout_image_palettes_and_provenance(self):
        async def scenario(client, fakes):
            return await collect(client.generate_pairs(3, seed=7, first_index=10, adherence="exact"))

        pairs = talk(scenario)
        assert [pair.index for pair in pairs] == [10, 11, 12]
        for pair in pairs:
            np.testing.assert_array_equal(pair.achieved, histogram(pair.labels, SPACE.num_classes))
            assert pair.decode_image().shape == (HEIGHT, WIDTH, 3)
            assert pair.provenance.seed == 7
            assert pair.provenance.adherence is Adherence.EXACT
            assert pair.provenance.bundle.digest == DIGEST

    def test_palettes_and_layouts_are_used_in_turn(self):
        layouts = [np.full((HEIGHT, WIDTH), i, np.uint8) for i in (0, 4)]

        async def scenario(client, fakes):
            given = await collect(client.generate_pairs(3, palettes=[{"sky": 1.0}, {"road": 1.0}]))
            return given, await collect(client.generate_pairs(3, layouts=layouts))

        given, measured = talk(scenario)
        for pairs, origin in ((given, PaletteOrigin.GIVEN), (measured, PaletteOrigin.MEASURED)):
            assert [int(pair.labels[0, 0]) for pair in pairs] == [0, 4, 0]
            assert {pair.provenance.palette_origin for pair in pairs} == {origin}


class TestArguments:
    @pytest.mark.parametrize("address", ["", "localhost", "host:0", "host:70000", "http://host:80", "a b:1"])
    def test_an_address_that_cannot_be_one_is_refused_at_once(self, address):
        with pytest.raises(InvalidInputError, match="address"):
            AsyncClient(address)

    @pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 1 << 32}, {"count": 1, "seed": -1}, {"count": True}])
    def test_numbers_that_cannot_be_sent_are_refused_before_a_call(self, arguments):
        async def scenario(client, fakes):
            with pytest.raises(InvalidInputError, match=list(arguments)[-1]):
                client.generate_pairs(**arguments)
            assert not fakes.requests

        talk(scenario)

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"adherence": "perfect"}, "adherence"),
            ({"image_format": "tiff"}, "image_format"),
            ({"timeout": 0}, "timeout"),
            ({"palettes": [{"sky": 1}], "constraints": Constraints()}, "palettes"),
            ({"layouts": [np.zeros((2, 2))]}, r"layouts\[0\]"),
        ],
    )
    def test_choices_that_do_not_exist_are_refused_before_a_call(self, arguments, field):
        async def scenario(client, fakes):
            with pytest.raises(InvalidInputError, match=field):
                client.generate_pairs(1, **arguments)

        talk(scenario)

    def test_a_palette_array_of_the_wrong_length_names_its_place(self):
        async def scenario(client, fakes):
            with pytest.raises(InvalidInputError, match=r"palettes\[1\]"):
                await collect(client.generate_pairs(1, palettes=[np.eye(12)[0], np.ones(3) / 3]))

        talk(scenario)


class TestErrors:
    def test_a_refused_request_names_field_value_and_allowed_range(self):
        async def scenario(client, fakes):
            await collect(client.generate_pairs(1, palettes=[{"sky": 0.4}]))

        with pytest.raises(InvalidRequestError, match=r"sum to 0\.4") as caught:
            talk(scenario)
        assert isinstance(caught.value, InvalidInputError)
        assert isinstance(caught.value, ValueError)
        assert caught.value.field == caught.value.violations[0].field == "palettes[0]"
        assert "sum to 1" in caught.value.violations[0].description
        assert str(caught.value).count("sum to 1") == 1

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
            (grpc.StatusCode.NOT_FOUND, NotFoundError),
            (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineError),
            (grpc.StatusCode.INTERNAL, ServiceError),
        ],
    )
    def test_a_status_is_one_typed_error_without_a_second_attempt(self, code, kind):
        fakes = Fakes(faults=[Fault(code, "as injected")])

        async def scenario(client, fakes):
            await client.label_space()

        with pytest.raises(kind, match=r"as injected \(.* from 127") as caught:
            talk(scenario, fakes)
        assert caught.value.code is code
        assert len(fakes.requests) == 1

    def test_deadlines_and_timeouts_are_also_the_builtin_error(self):
        async def scenario(client, fakes):
            async for _ in client.generate_pairs(100, timeout=0.2):
                pass

        with pytest.raises(TimeoutError):
            talk(scenario, Fakes(delay=0.05))

    def test_an_unknown_bundle_is_not_found_and_another_digest_a_mismatch(self):
        async def unknown(client, fakes):
            await client.label_space("nothing")

        async def other_digest(client, fakes):
            await collect(client.generate_pairs(1, digest="0" * 64))

        with pytest.raises(NotFoundError, match="nothing"):
            talk(unknown)
        with pytest.raises(BundleMismatchError):
            talk(other_digest)

    def test_a_stream_that_skips_or_ends_early_breaks_the_contract(self):
        async def scenario(client, fakes):
            await collect(client.generate_pairs(3))

        with pytest.raises(ProtocolError, match="answered pair 2 where 1 was due"):
            talk(scenario, Fakes(skip_index=1))
        with pytest.raises(ProtocolError, match="1 pairs early"):
            talk(scenario, Fakes(skip_index=2))

    def test_nobody_listening_is_unavailable(self):
        async def run():
            async with AsyncClient("127.0.0.1:1", retry=FAST) as client:
                await client.label_space()

        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
            asyncio.run(run())


@pytest.fixture
def remote(tmp_path):
    """The fakes in another process, because one process is to have one event loop: their address and their log."""
    log = tmp_path / "calls.log"
    log.touch()
    command = [sys.executable, str(Path(__file__).with_name("fake_services.py")), "127.0.0.1:0", "0.02", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip(), log
        process.terminate()


def wait_until_nothing_is_in_flight(log: Path) -> None:
    for _ in range(500):
        words = log.read_text().split()
        if words and words.count("begin") == words.count("end"):
            return
        time.sleep(0.01)
    raise AssertionError("calls are still in flight")


class TestBlockingClient:
    def test_has_every_method_of_the_asyncio_client(self, remote):
        address, _ = remote
        with Client(address, timeout=20.0) as client:
            space = client.label_space().label_space
            palettes = client.sample_palettes(2, seed=1)
            layouts = client.generate_layouts([LayoutItem(palette.palette) for palette in palettes]).layouts
            images = client.translate_layouts([ImageItem(layout.labels) for layout in layouts]).images
            pairs = list(client.generate_pairs(2, palettes=[palette.palette for palette in palettes]))
        assert space == SPACE
        assert [image.decode().shape for image in images] == [(HEIGHT, WIDTH, 3)] * 2
        np.testing.assert_array_equal(pairs[0].labels, layouts[0].labels)

    def test_abandoned_iterators_are_cancelled_and_closing_joins_the_thread(self, remote):
        address, log = remote
        client = Client(address)
        for _ in client.generate_pairs(10_000):
            break
        wait_until_nothing_is_in_flight(log)
        with client.generate_pairs(10_000) as pairs:
            next(pairs)
        wait_until_nothing_is_in_flight(log)
        left = client.generate_pairs(10_000)
        next(left)
        thread = client._thread._thread
        client.close()
        client.close()
        wait_until_nothing_is_in_flight(log)
        assert not thread.is_alive()
        with pytest.raises(ClientClosedError):
            next(left)

    def test_errors_are_those_of_the_asyncio_client(self, remote):
        address, _ = remote
        with Client(address) as client:
            with pytest.raises(NotFoundError):
                client.label_space("nothing")
            with pytest.raises(InvalidRequestError, match="dragon"):
                client.generate_layouts([LayoutItem({"dragon": 1.0})])

    def test_a_dropped_client_stops_its_thread(self, remote):
        address, _ = remote
        client = Client(address)
        client.label_space()
        thread = client._thread._thread
        del client
        gc.collect()
        thread.join(5.0)
        assert not thread.is_alive()


def test_public_names_are_documented_errors_or_classes_of_the_module():
    for name in client_module.__all__:
        item = getattr(client_module, name)
        assert item.__module__ == "semantic_palette.client"
        if issubclass(item, Exception):
            assert issubclass(item, SemanticPaletteError)
            assert name in client_module.__doc__
