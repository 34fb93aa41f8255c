"""Pairs decode their own images."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from semantic_palette.layout import encode_png
from semantic_palette.pair import Adherence, BundleIdentity, EngineIdentity, Pair, PaletteOrigin, Provenance

LABELS = np.array([[0, 1, 1], [0, 0, 1]], dtype=np.uint8)
IMAGE = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def make_pair(image_data: bytes, image_format: str) -> Pair:
    engine = EngineIdentity("onnxruntime", "1.0", "fp32", "0" * 64)
    provenance = Provenance(
        bundle=BundleIdentity("camvid", "1", "1" * 64),
        seed=1,
        index=2,
        adherence=Adherence.EXACT,
        deterministic=True,
        palette_origin=PaletteOrigin.SAMPLED,
        layout_engine=engine,
        image_engine=engine,
        service_version="0.1.0",
    )
    half = np.array([0.5, 0.5])
    return Pair(2, LABELS, encode_png(LABELS), image_data, image_format, half, half, 0.0, provenance)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_images_decode_to_what_was_encoded(image_format: str) -> None:
    buffer = BytesIO()
    Image.fromarray(IMAGE).save(buffer, format=image_format, lossless=True)
    np.testing.assert_array_equal(make_pair(buffer.getvalue(), image_format).decode_image(), IMAGE)


def test_raw_images_take_their_size_from_the_labels() -> None:
    np.testing.assert_array_equal(make_pair(IMAGE.tobytes(), "raw").decode_image(), IMAGE)


def test_jpeg_images_decode_to_the_size_of_the_labels() -> None:
    buffer = BytesIO()
    Image.fromarray(IMAGE).save(buffer, format="jpeg")
    assert make_pair(buffer.getvalue(), "jpeg").decode_image().shape == (2, 3, 3)


def test_names_are_those_that_the_command_line_uses() -> None:
    assert [str(adherence) for adherence in Adherence] == ["natural", "exact"]
    assert [str(origin) for origin in PaletteOrigin] == ["given", "sampled", "projected", "measured", "edited"]
