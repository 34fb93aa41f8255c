"""Images over gRPC, compared with the tiny bundle's model in numpy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from grpc_helpers import Stubs, asynchronous, serving_in_thread
from numpy.typing import NDArray
from PIL import Image
from tiny_bundle import POISON_CLASS, Tiny, write_tiny_bundle

from semantic_palette.layout import encode_png
from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import image_service_pb2 as pb
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.image.servicer import ImageServicer
from semantic_palette_services.limits import Limits
from semantic_palette_services.runtime.errors import QueueFullError
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.store import BundleFiles


@pytest.fixture(scope="module")
def stubs(tiny_root: Path) -> Iterator[Stubs]:
    with serving_in_thread(tiny_root, services=("image",)) as (_, stubs):
        yield stubs


@pytest.fixture
def labels(tiny: Tiny) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 6, (tiny.height, tiny.width), dtype=np.uint8)


def translate(stubs: Stubs, labels: NDArray[np.uint8], **fields: Any) -> common.Image:
    item = pb.ImageItem(layout=common.LabelMap(data=encode_png(labels)), seed=4, index=9)
    [image] = stubs.image.TranslateLayouts(pb.TranslateLayoutsRequest(items=[item], **fields)).images
    return image


def expected(tiny: Tiny, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    z = standard_normal(4, 9, "image", (tiny.image_latent_size,))
    return np.asarray(tiny.image(labels[None], z[None])[0])


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "RAW"])
def test_lossless_formats_hold_the_models_pixels(
    stubs: Stubs, tiny: Tiny, labels: NDArray[np.uint8], image_format: str
) -> None:
    image = translate(stubs, labels, image_format=common.ImageFormat.Value(f"IMAGE_FORMAT_{image_format}"))
    assert (image.height, image.width) == (tiny.height, tiny.width)
    if image_format == "RAW":
        pixels = np.frombuffer(image.data, dtype=np.uint8).reshape(tiny.height, tiny.width, 3)
    else:
        decoded = Image.open(io.BytesIO(image.data))
        assert decoded.format == image_format
        pixels = np.asarray(decoded)
    # Rounding to 8 bits may fall either way between numpy and an engine.
    assert np.abs(pixels.astype(int) - expected(tiny, labels)).max() <= 1


def test_jpeg_obeys_its_quality(stubs: Stubs, labels: NDArray[np.uint8]) -> None:
    sizes = [len(translate(stubs, labels, image_format=2, image_quality=quality).data) for quality in (5, 0, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3
    assert Image.open(io.BytesIO(translate(stubs, labels, image_format=2).data)).format == "JPEG"


def test_png_is_the_default(stubs: Stubs, labels: NDArray[np.uint8]) -> None:
    image = translate(stubs, labels)
    assert image.format == common.IMAGE_FORMAT_PNG
    assert Image.open(io.BytesIO(image.data)).format == "PNG"


def test_no_more_images_are_asked_for_than_an_answer_holds(tmp_path: Path) -> None:
    tiny = write_tiny_bundle(tmp_path, height=512, width=1024, models=("image",))
    layout = common.LabelMap(data=encode_png(np.zeros((tiny.height, tiny.width), np.uint8)))
    with serving_in_thread(tmp_path, services=("image",)) as (_, stubs), pytest.raises(grpc.RpcError) as caught:
        stubs.image.TranslateLayouts(pb.TranslateLayoutsRequest(items=[pb.ImageItem(layout=layout)] * 60))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "1 to 42 is allowed" in error.details()


@asynchronous
async def test_nothing_is_decoded_for_a_request_that_meets_a_full_queue(tiny_files: BundleFiles) -> None:
    bundle = LoadedBundle(tiny_files, PaletteModel.load(tiny_files.path / "palette.npz"))

    class FullOperation:
        styled = False

        def __init__(self) -> None:
            self.bundle = bundle

        def reserve(self, count: int, references: int, priority: object) -> None:
            raise QueueFullError("image", count, 1.0)

    class FakeContext:
        def time_remaining(self) -> None: ...

    class IdlePool:
        threads = 1

        async def map(self, *_: Any) -> None:
            raise AssertionError("worked for a request that is refused")

    pool, context = cast(Any, IdlePool()), cast(Any, FakeContext())
    operations = BundleOperations(bundle, pool, cast(Any, None))
    operations.image = cast(Any, FullOperation())
    bundles: BundleRegistry[BundleOperations] = BundleRegistry(0.0, lambda *_: None)
    bundles.add(operations)
    bundles.activate(operations)
    request = pb.TranslateLayoutsRequest(items=[pb.ImageItem(layout=common.LabelMap(data=b"not decoded"))])
    with pytest.raises(QueueFullError):
        await ImageServicer(bundles, pool, Limits()).TranslateLayouts(request, context)


def test_raw_and_png_layouts_give_the_same_image(stubs: Stubs, tiny: Tiny, labels: NDArray[np.uint8]) -> None:
    raw = common.LabelMap(
        encoding=common.LABEL_ENCODING_RAW, height=tiny.height, width=tiny.width, data=labels.tobytes()
    )
    item = pb.ImageItem(layout=raw, seed=4, index=9)
    [image] = stubs.image.TranslateLayouts(pb.TranslateLayoutsRequest(items=[item], deterministic=True)).images
    assert image.data == translate(stubs, labels, deterministic=True).data


def test_an_item_that_breaks_the_model_fails_its_own_call(poisoned_root: Path, labels: NDArray[np.uint8]) -> None:
    poison = pb.ImageItem(layout=common.LabelMap(data=encode_png(np.full_like(labels, POISON_CLASS))))
    healthy = pb.ImageItem(layout=common.LabelMap(data=encode_png(labels)))
    with serving_in_thread(poisoned_root, services=("image",)) as (_, stubs):
        calls = [
            stubs.image.TranslateLayouts.future(pb.TranslateLayoutsRequest(items=[item]))
            for item in [healthy] * 10 + [poison] + [healthy] * 10
        ]
        codes = [call.code() for call in calls]
    assert codes.pop(10) is grpc.StatusCode.INTERNAL
    assert set(codes) == {grpc.StatusCode.OK}
