"""A few bytes that stand for gigabytes are refused, or not inflated, and cost nothing."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bombs
import grpc
import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread, violations
from tiny_bundle import FACES, write_tiny_bundle

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import decode_png
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette_services import codecs
from semantic_palette_services.encoding import ImageEncoding, ImageFormat, decode_image, encode_image

PNG = common.LABEL_ENCODING_PNG


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    root = tmp_path_factory.mktemp("bombs") / "model_store"
    write_tiny_bundle(root, models=FACES, image="styled")
    with serving_in_thread(root) as (_, stubs):
        yield stubs


def test_no_bomb_moves_the_memory() -> None:
    run = subprocess.run([sys.executable, bombs.__file__], capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 32, "MiB, where every bomb stands for half a gigabyte or more"


@pytest.mark.parametrize("bomb", bombs.LABELS)
def test_a_layout_that_is_a_bomb_is_bad_input(stubs: Stubs, bomb: str) -> None:
    item = image.ImageItem(layout=common.LabelMap(encoding=PNG, data=bombs.LABELS[bomb]()))
    with pytest.raises(grpc.RpcError) as caught:
        stubs.image.TranslateLayouts(image.TranslateLayoutsRequest(items=[item]))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in violations(error)] == ["items[0].layout.data"]


@pytest.mark.parametrize("bomb", bombs.HARMLESS_LABELS)
def test_what_a_layout_has_beside_its_pixels_is_not_inflated(bomb: str) -> None:
    labels = decode_png(bombs.HARMLESS_LABELS[bomb](), 6, bombs.HEIGHT, bombs.WIDTH)
    assert not labels.any()


@pytest.mark.parametrize("bomb", bombs.IMAGES)
def test_an_image_that_is_a_bomb_is_bad_input(stubs: Stubs, bomb: str) -> None:
    kind, make = bombs.IMAGES[bomb]
    source = factory.EditSource(
        layout=common.LabelMap(encoding=PNG, data=bombs.png()),
        image=common.Image(format=codecs.image_format_to_proto(kind), data=make()),
        edit=common.LayoutEdit(target=common.ShareTargets(shares={"sky": 1.0})),
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(stubs.factory.EditPairs(factory.EditPairsRequest(count=1, sources=[source])))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in violations(error)] == ["sources[0].image.data"]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (16, 32), (33, 129)])
def test_every_png_of_the_right_size_is_read(size: tuple[int, int], interlaced: bool) -> None:
    height, width = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = interlace(pixels) if interlaced else encode_image(pixels, ImageEncoding()).data
    assert np.array_equal(decode_image(data, ImageFormat.PNG, height, width, "image"), pixels)


def interlace(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """An interlaced PNG (Adam7), which Pillow cannot write: seven images of some of the pixels."""
    height, width, _ = pixels.shape
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [
        b"\0" + row.tobytes() for top, left, down, right in steps for row in pixels[top::down, left::right] if row.size
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    body = (
        bombs.chunk(b"IHDR", header) + bombs.chunk(b"IDAT", zlib.compress(b"".join(rows))) + bombs.chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("quality", [1, 100])
def test_noise_is_not_taken_for_a_bomb(quality: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (256, 512, 3), dtype=np.uint8)
    for encoding in (ImageEncoding(ImageFormat.JPEG, quality), ImageEncoding(ImageFormat.WEBP), ImageEncoding()):
        decoded = decode_image(encode_image(pixels, encoding).data, encoding.format, 256, 512, "image")
        assert decoded.shape == pixels.shape
        assert encoding.format is ImageFormat.JPEG or np.array_equal(decoded, pixels)


def test_files_cut_short_or_with_wrong_lengths_are_bad_input() -> None:
    whole = bombs.png()
    for data in (whole[:40], whole[:45], whole[:33] + b"\xff\xff\xff\xff" + whole[37:45], whole[:33] + bytes(100)):
        with pytest.raises(InvalidInputError):
            decode_png(data, 6, bombs.HEIGHT, bombs.WIDTH)


def test_a_compressed_message_is_refused_before_it_is_inflated(tiny_root: Path) -> None:
    with serving_in_thread(tiny_root, services=("palette",)) as (_, stubs):
        method = stubs.channel.unary_unary("/semantic_palette.v1.PaletteService/GetLabelSpace")
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with pytest.raises(grpc.RpcError) as caught:
                method(bytes(1 << 20), compression=compression)
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "disabled" in error.details()


def test_messages_are_no_larger_than_the_setting(tiny_root: Path) -> None:
    with serving_in_thread(tiny_root, max_message_bytes=100_000) as (_, stubs):
        for num_bytes, code in (
            (90_000, grpc.StatusCode.INVALID_ARGUMENT),
            (110_000, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            item = image.ImageItem(layout=common.LabelMap(data=bytes(num_bytes)))
            with pytest.raises(grpc.RpcError) as caught:
                stubs.image.TranslateLayouts(image.TranslateLayoutsRequest(items=[item]))
            error: Any = caught.value
            assert error.code() is code
