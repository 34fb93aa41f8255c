"""Layouts: checks, PNG codec, colours, resizing and cutting."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import CAMVID
from semantic_palette.layout import (
    check_labels,
    colourise,
    crop,
    decode_png,
    encode_png,
    merge,
    one_hot,
    resize_nearest,
)

shapes = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
layouts = npst.arrays(np.uint8, shapes, elements=st.integers(0, 255))


def png_of(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A greyscale PNG whose header claims a size, with nothing to decode behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@given(layouts)
def test_png_round_trip(labels: np.ndarray) -> None:
    decoded = decode_png(encode_png(labels), 256, *labels.shape)
    np.testing.assert_array_equal(decoded, labels)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable


def test_encoding_is_plain_eight_bit_greyscale() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with Image.open(BytesIO(encode_png(labels))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (4, 3))


def test_a_view_that_is_not_contiguous_is_encoded_right() -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::-1]
    np.testing.assert_array_equal(decode_png(encode_png(labels), 24), labels)


def test_a_decompression_bomb_is_rejected_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object, **__: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(Image, "open", decode)
    with pytest.raises(InvalidInputError, match=r"^layout: '60000x50000' .* at most \d+ pixels"):
        decode_png(png_claiming(50_000, 60_000), 12)
    with pytest.raises(InvalidInputError, match="at most 99 pixels"):
        decode_png(png_claiming(10, 10), 12, max_pixels=99)
    with pytest.raises(InvalidInputError, match=r"'10x10' is not allowed; 4x8 \(height x width\)"):
        decode_png(png_claiming(10, 10), 12, 4, 8)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not PNG"),
        (b"\x89PNG", "not PNG"),
        (b"GIF89a" + bytes(100), "not PNG"),
        (png_of(Image.new("RGB", (4, 4))), "bit depth 8 and colour type 2"),
        (png_of(Image.new("P", (4, 4))), "colour type 3"),
        (png_of(Image.new("LA", (4, 4))), "colour type 4"),
        (png_of(Image.new("I;16", (4, 4))), "bit depth 16"),
        (png_of(Image.new("1", (4, 4))), "bit depth 1 "),
        (png_claiming(0, 4), "at least one pixel"),
        (png_claiming(4, 4), "readable PNG"),
        (encode_png(np.zeros((64, 64), np.uint8))[:60], "readable PNG"),
        (png_claiming(4, 4)[:33], "readable PNG"),
    ],
)
def test_what_is_not_a_label_png_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        decode_png(data, 12, field="items[3].layout")
    assert caught.value.field == "items[3].layout"


@given(st.binary(max_size=80), st.integers(0, 200))
def test_corrupt_bytes_are_a_typed_error_or_a_valid_layout(noise: bytes, position: int) -> None:
    data = bytearray(encode_png(np.arange(64, dtype=np.uint8).reshape(8, 8) % 12))
    data[position : position + len(noise)] = noise
    try:
        labels = decode_png(bytes(data), 12)
    except InvalidInputError:
        return
    assert labels.max() < 12


def test_ids_out_of_range_are_an_error_that_names_the_range() -> None:
    with pytest.raises(InvalidInputError, match=r"'class id 12' is not allowed; class ids from 0 to 11"):
        decode_png(encode_png(np.full((2, 2), 12, np.uint8)), 12)
    with pytest.raises(InvalidInputError, match="class id -1"):
        check_labels(np.array([[-1, 3]]), 12)


def test_labels_of_any_integer_type_become_uint8() -> None:
    checked = check_labels([[0, 11]], 12, 1, 2)
    assert checked.dtype == np.uint8
    assert check_labels(np.array([[255]], dtype=np.int64), 256)[0, 0] == 255


@pytest.mark.parametrize("bad", [[[0.5]], [0, 1], [[[0]]], [[]], [[True]]])
def test_other_types_and_shapes_are_errors(bad: object) -> None:
    with pytest.raises(InvalidInputError, match=r"integer array \[height, width\]"):
        check_labels(bad, 12)  # type: ignore[arg-type]


def test_one_hot_and_colours() -> None:
    labels = np.array([[[0, 3], [11, 3]]], dtype=np.uint8)
    encoded = one_hot(labels, 12)
    assert encoded.shape == (1, 12, 2, 2)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded.argmax(axis=1), labels)
    np.testing.assert_array_equal(encoded.sum(axis=1), 1.0)
    np.testing.assert_array_equal(colourise(labels, CAMVID)[0, 0, 1], CAMVID.classes[3].colour)


@given(layouts, st.integers(1, 4))
def test_nearest_resizing_up_then_down_changes_nothing(labels: np.ndarray, factor: int) -> None:
    height, width = labels.shape
    larger = resize_nearest(labels, height * factor, width * factor)
    np.testing.assert_array_equal(larger, labels.repeat(factor, 0).repeat(factor, 1))
    np.testing.assert_array_equal(resize_nearest(larger, height, width), labels)


def test_nearest_resizing_takes_the_id_under_the_centre() -> None:
    np.testing.assert_array_equal(resize_nearest(np.array([[0, 1, 2]], np.uint8), 1, 1), [[1]])


@given(layouts, st.data())
def test_merging_a_crop_back_changes_nothing(labels: np.ndarray, data: st.DataObject) -> None:
    top = data.draw(st.integers(0, labels.shape[0] - 1))
    left = data.draw(st.integers(0, labels.shape[1] - 1))
    height = data.draw(st.integers(1, labels.shape[0] - top))
    width = data.draw(st.integers(1, labels.shape[1] - left))
    patch = crop(labels, top, left, height, width)
    before = labels.copy()
    np.testing.assert_array_equal(merge(labels, patch, top, left), labels)
    merge(labels, patch + 1, top, left)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("rectangle", [(-1, 0, 2, 2), (0, 3, 2, 2), (0, 0, 0, 2), (0, 0, 5, 1)])
def test_rectangles_outside_the_layout_are_errors(rectangle: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInputError, match="within 4x4"):
        crop(np.zeros((4, 4), np.uint8), *rectangle)


def test_a_file_written_elsewhere_is_read(tmp_path: Path) -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(labels).save(tmp_path / "a.png", optimize=True)
    np.testing.assert_array_equal(decode_png((tmp_path / "a.png").read_bytes(), 12), labels)
