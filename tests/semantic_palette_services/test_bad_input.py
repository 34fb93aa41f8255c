"""Every bad input is a typed error that names the field, the value and what is allowed, through real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread, violations

from semantic_palette.layout import encode_png
from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import factory_service_pb2 as factory
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette.v1 import layout_service_pb2 as layout
from semantic_palette.v1 import palette_service_pb2 as palette

# The tiny bundle: 6 classes (sky, building, road, tree, car, pedestrian), 16 x 32 pixels.
HEIGHT, WIDTH = 16, 32
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def stubs(tiny_root: Path) -> Iterator[Stubs]:
    with serving_in_thread(tiny_root) as (_, stubs):
        yield stubs


def constraints(**kinds: dict[str, float]) -> common.Constraints:
    return common.Constraints(**kinds)


def layouts(shares: dict[str, float] | None = None, count: int = 1, **fields: Any) -> layout.GenerateLayoutsRequest:
    item = layout.LayoutItem(palette=common.Palette(shares={"sky": 1.0} if shares is None else shares))
    return layout.GenerateLayoutsRequest(items=[item] * count, **fields)


def images(label_map: common.LabelMap | None = None, **fields: Any) -> image.TranslateLayoutsRequest:
    return image.TranslateLayoutsRequest(items=[image.ImageItem(layout=label_map or raw())], **fields)


def raw(height: int = HEIGHT, width: int = WIDTH, value: int = 0, size: int | None = None) -> common.LabelMap:
    data = bytes([value]) * (height * width if size is None else size)
    return common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=height, width=width, data=data)


def png(height: int = HEIGHT, width: int = WIDTH, value: int = 0, **fields: Any) -> common.LabelMap:
    return common.LabelMap(data=encode_png(np.full((height, width), value, dtype=np.uint8)), **fields)


def given(*palettes: dict[str, float]) -> factory.PaletteList:
    return factory.PaletteList(palettes=[common.Palette(shares=shares) for shares in palettes])


SAMPLE_CASES = {
    "no palettes": (palette.SamplePalettesRequest(count=0), INVALID, "count", "1 to 4096"),
    "too many palettes": (palette.SamplePalettesRequest(count=4097), INVALID, "count", "4097"),
    "indices beyond 64 bits": (
        palette.SamplePalettesRequest(count=2, first_index=2**64 - 1),
        INVALID,
        "first_index",
        "18446744073709551614",
    ),
    "unknown class": (
        palette.SamplePalettesRequest(count=1, constraints=constraints(minimum={"lava": 0.1})),
        NOT_FOUND,
        "constraints.minimum",
        "pedestrian",
    ),
    "share above 1": (
        palette.SamplePalettesRequest(count=1, constraints=constraints(fixed={"sky": 1.5})),
        INVALID,
        "constraints.fixed",
        "1.5",
    ),
    "minima above 1 together": (
        palette.SamplePalettesRequest(count=1, constraints=constraints(minimum={"sky": 0.7, "road": 0.6})),
        INVALID,
        "constraints",
        "1.3",
    ),
    "minimum above maximum": (
        palette.SamplePalettesRequest(count=1, constraints=constraints(minimum={"sky": 0.7}, maximum={"sky": 0.6})),
        INVALID,
        "constraints.minimum",
        "0.6",
    ),
}

LAYOUT_CASES = {
    "no items": (layouts(count=0), INVALID, "items", "1 to 256"),
    "too many items": (layouts(count=257), INVALID, "items", "257"),
    "shares that do not sum": (layouts({"sky": 0.5, "road": 0.4}), INVALID, "items[0].palette", "0.9"),
    "negative share": (layouts({"sky": 1.0, "road": -0.1}), INVALID, "items[0].palette", "-0.1"),
    "share that is no number": (layouts({"sky": float("nan")}), INVALID, "items[0].palette", "nan"),
    "unknown class": (layouts({"lava": 1.0}), NOT_FOUND, "items[0].palette", "lava"),
    "unknown adherence": (layouts(adherence=9), INVALID, "adherence", "9"),
    "unknown encoding": (layouts(label_encoding=9), INVALID, "label_encoding", "9"),
}

IMAGE_CASES = {
    "no items": (image.TranslateLayoutsRequest(), INVALID, "items", "1 to 256"),
    "wrong height of raw labels": (images(raw(height=8)), INVALID, "items[0].layout.height", "16"),
    "wrong number of raw labels": (images(raw(size=5)), INVALID, "items[0].layout.data", "512 bytes"),
    "wrong size of a PNG": (images(png(width=64)), INVALID, "items[0].layout", "64"),
    "declared size is not the bundle's": (
        images(common.LabelMap(height=99, data=png().data)),
        INVALID,
        "items[0].layout.height",
        "99",
    ),
    "class id out of range": (images(raw(value=6)), INVALID, "items[0].layout", "5"),
    "class id out of range in a PNG": (images(png(value=200)), INVALID, "items[0].layout", "200"),
    "corrupt PNG": (images(common.LabelMap(data=png().data[:50])), INVALID, "items[0].layout", "PNG"),
    "no PNG at all": (images(common.LabelMap(data=b"GIF89a")), INVALID, "items[0].layout", "PNG"),
    "unknown format": (images(image_format=42), INVALID, "image_format", "42"),
    "JPEG quality out of range": (images(image_format=2, image_quality=101), INVALID, "image_quality", "101"),
    "quality of a format that has none": (images(image_format=1, image_quality=90), INVALID, "image_quality", "90"),
}

PAIR_CASES = {
    "no pairs": (factory.GeneratePairsRequest(), INVALID, "count", "1 to 1000000"),
    "too many pairs": (factory.GeneratePairsRequest(count=1_000_001), INVALID, "count", "1000001"),
    "no palettes given": (factory.GeneratePairsRequest(count=1, palettes=given()), INVALID, "palettes", "1 to 4096"),
    "no layouts given": (
        factory.GeneratePairsRequest(count=1, layouts=factory.LayoutList()),
        INVALID,
        "layouts",
        "1 to 1024",
    ),
    "second palette does not sum": (
        factory.GeneratePairsRequest(count=1, palettes=given({"sky": 1.0}, {"sky": 0.2})),
        INVALID,
        "palettes.palettes[1]",
        "0.2",
    ),
    "second layout out of range": (
        factory.GeneratePairsRequest(count=1, layouts=factory.LayoutList(layouts=[raw(), raw(value=9)])),
        INVALID,
        "layouts.layouts[1]",
        "9",
    ),
    "infeasible constraints": (
        factory.GeneratePairsRequest(
            count=1, sampling=factory.PaletteSampling(constraints=constraints(fixed={"sky": 0.7, "road": 0.7}))
        ),
        INVALID,
        "constraints",
        "1.4",
    ),
    "unknown class": (
        factory.GeneratePairsRequest(count=1, palettes=given({"lava": 1.0})),
        NOT_FOUND,
        "palettes.palettes[0]",
        "lava",
    ),
    "unknown image format": (factory.GeneratePairsRequest(count=1, image_format=7), INVALID, "image_format", "7"),
    "quality out of range": (
        factory.GeneratePairsRequest(count=1, image_format=2, image_quality=400),
        INVALID,
        "image_quality",
        "400",
    ),
}


def check(call: Any, code: grpc.StatusCode, field: str, mention: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is code, error.details()
    [(named, description)] = violations(error)
    assert named.startswith(field)
    assert mention in description
    assert "allowed" in description
    assert named in error.details()


@pytest.mark.parametrize("case", SAMPLE_CASES)
def test_palettes_that_cannot_be_sampled(stubs: Stubs, case: str) -> None:
    request, code, field, mention = SAMPLE_CASES[case]
    check(lambda: stubs.palette.SamplePalettes(request), code, field, mention)


@pytest.mark.parametrize("case", LAYOUT_CASES)
def test_layouts_that_cannot_be_generated(stubs: Stubs, case: str) -> None:
    request, code, field, mention = LAYOUT_CASES[case]
    check(lambda: stubs.layout.GenerateLayouts(request), code, field, mention)


@pytest.mark.parametrize("case", IMAGE_CASES)
def test_layouts_that_cannot_be_translated(stubs: Stubs, case: str) -> None:
    request, code, field, mention = IMAGE_CASES[case]
    check(lambda: stubs.image.TranslateLayouts(request), code, field, mention)


@pytest.mark.parametrize("case", PAIR_CASES)
def test_pairs_that_cannot_be_made(stubs: Stubs, case: str) -> None:
    request, code, field, mention = PAIR_CASES[case]
    check(lambda: list(stubs.factory.GeneratePairs(request)), code, field, mention)


CALLS = {
    "GetLabelSpace": lambda stubs, bundle: stubs.palette.GetLabelSpace(palette.GetLabelSpaceRequest(bundle=bundle)),
    "SamplePalettes": lambda stubs, bundle: stubs.palette.SamplePalettes(
        palette.SamplePalettesRequest(bundle=bundle, count=1)
    ),
    "GenerateLayouts": lambda stubs, bundle: stubs.layout.GenerateLayouts(layouts(bundle=bundle)),
    "TranslateLayouts": lambda stubs, bundle: stubs.image.TranslateLayouts(images(bundle=bundle)),
    "GeneratePairs": lambda stubs, bundle: list(
        stubs.factory.GeneratePairs(factory.GeneratePairsRequest(bundle=bundle, count=1))
    ),
}


@pytest.mark.parametrize("method", CALLS)
def test_a_bundle_that_is_not_served_is_not_found(stubs: Stubs, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        CALLS[method](stubs, common.BundleSelector(name="cityscapes"))
    error: Any = caught.value
    assert error.code() is NOT_FOUND
    assert "cityscapes" in error.details()
    assert "tiny" in error.details()


@pytest.mark.parametrize("method", CALLS)
def test_another_digest_than_the_served_one_fails_the_precondition(stubs: Stubs, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        CALLS[method](stubs, common.BundleSelector(name="tiny", digest="0" * 64))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "0" * 64 in error.details()


def test_a_message_beyond_the_limit_is_refused_by_grpc(stubs: Stubs) -> None:
    label_map = common.LabelMap(data=bytes(65 * 1024 * 1024))
    with pytest.raises(grpc.RpcError) as caught:
        stubs.image.TranslateLayouts(images(label_map))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
