"""Every bad input is a typed error that names the field, the value and what is allowed, through real gRPC."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread, violations
from numpy.typing import NDArray
from PIL import Image
from tiny_bundle import FACES, write_tiny_bundle

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


@pytest.fixture(scope="module")
def editing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """A server of a bundle with an editor and styled images."""
    root = tmp_path_factory.mktemp("editing") / "model_store"
    write_tiny_bundle(root, models=FACES, image="styled")
    with serving_in_thread(root) as (_, stubs):
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


def change(region: common.Region | None = None, **kinds: Any) -> common.LayoutEdit:
    """An edit; by default one that is fine: half of the frame becomes sky."""
    return common.LayoutEdit(region=region, **(kinds or {"target": common.ShareTargets(shares={"sky": 0.5})}))


def target(**shares: float) -> common.LayoutEdit:
    return change(target=common.ShareTargets(shares=shares))


def deltas(**changes: float) -> common.LayoutEdit:
    return change(deltas=common.ShareDeltas(deltas=changes))


def box(left: int, top: int, right: int, bottom: int) -> common.LayoutEdit:
    return change(common.Region(box=common.Box(left=left, top=top, right=right, bottom=bottom)))


def mask(label_map: common.LabelMap) -> common.LayoutEdit:
    return change(common.Region(mask=label_map))


def half() -> common.LabelMap:
    """The upper half is sky, the lower half is road."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[HEIGHT // 2 :] = 2
    return common.LabelMap(data=encode_png(labels))


# What is wrong with an edit, wherever it is: the rest of the field's name, and what is mentioned.
CHANGES = {
    "nothing asked for": (common.LayoutEdit(), INVALID, "", "target nor deltas"),
    "no class in the target": (target(), INVALID, ".target", "at least one class"),
    "no class in the deltas": (deltas(), INVALID, ".deltas", "at least one class"),
    "unknown class in the target": (target(lava=0.1), NOT_FOUND, ".target", "lava"),
    "unknown class in the deltas": (deltas(lava=0.1), NOT_FOUND, ".deltas", "pedestrian"),
    "share above 1": (target(car=1.5), INVALID, ".target[car]", "1.5"),
    "share that is no number": (target(car=float("nan")), INVALID, ".target[car]", "nan"),
    "shares above 1 together": (target(car=0.7, road=0.7), INVALID, ".target", "1.4"),
    "nobody takes the rest": (target(sky=0.2, road=0.3), INVALID, ".target", "0.5"),
    "change below what is there": (deltas(sky=-0.6), INVALID, ".deltas[sky]", "from -0.5 to 0.5"),
    "change above what is left": (deltas(sky=0.6), INVALID, ".deltas[sky]", "0.6"),
    "change that is no number": (deltas(sky=float("inf")), INVALID, ".deltas[sky]", "inf"),
    "nobody pays": (deltas(sky=0.1, road=0.1), INVALID, ".deltas", "1.2"),
    "box too wide": (box(0, 0, 33, 16), INVALID, ".region.box.right", "right <= 32"),
    "box too high": (box(0, 0, 32, 17), INVALID, ".region.box.bottom", "17"),
    "box without columns": (box(5, 0, 5, 16), INVALID, ".region.box.right", "5"),
    "box upside down": (box(0, 9, 32, 3), INVALID, ".region.box.bottom", "9"),
    "mask of another size": (mask(raw(height=8)), INVALID, ".region.mask.height", "16"),
    "mask of too few pixels": (mask(raw(size=4)), INVALID, ".region.mask.data", "512 bytes"),
    "mask that is no PNG": (mask(common.LabelMap(data=b"GIF89a")), INVALID, ".region.mask.data", "PNG"),
    "mask of unknown encoding": (mask(common.LabelMap(encoding=7)), INVALID, ".region.mask.encoding", "7"),
    "mask that frees no pixel": (mask(raw()), INVALID, ".region.mask", "not 0"),
}

PHOTO = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, PHOTO.shape).astype(np.uint8)


def picture(pixels: NDArray[Any] = PHOTO, image_format: str = "PNG", **fields: Any) -> common.Image:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return common.Image(format=common.IMAGE_FORMAT_PNG, **({"data": buffer.getvalue()} | fields))


def declaring(height: int, width: int) -> common.Image:
    """A small PNG whose header says another size."""
    data = bytearray(picture().data)
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return picture(data=bytes(data))


RAW_PHOTO = {"format": common.IMAGE_FORMAT_RAW, "height": HEIGHT, "width": WIDTH}
PICTURES = {
    "unknown format": (common.Image(format=9), ".format", "9"),
    "corrupt": (picture(data=picture(NOISE).data[:600]), ".data", "PNG"),
    "another format than declared": (picture(image_format="JPEG"), ".data", "readable PNG"),
    "another size": (picture(PHOTO[:8]), ".data", "16x32"),
    "another declared size": (picture(height=8), ".height", "16"),
    "too few raw pixels": (common.Image(data=b"123", **RAW_PHOTO), ".data", "1536 bytes"),
    "raw pixels without size": (common.Image(format=common.IMAGE_FORMAT_RAW, data=bytes(1536)), ".height", "16"),
    "transparency": (picture(np.zeros((HEIGHT, WIDTH, 4), np.uint8)), ".data", "RGBA"),
    "a size that would fill the memory": (declaring(30_000, 30_000), ".data", "30000x30000"),
    "a size that might fill the memory": (declaring(10_000, 10_000), ".data", "allowed"),
    "16 bits": (picture(np.zeros((HEIGHT, WIDTH), np.uint16)), ".data", "8 bits"),
}


def source(edit: common.LayoutEdit | None = None, image: common.Image | None = None, **fields: Any) -> Any:
    return factory.EditSource(
        **({"layout": half(), "image": image or picture(), "edit": edit or change()} | fields),
    )


EDIT_PAIR_CASES = {
    "no pairs": (factory.EditPairsRequest(sources=[source()]), "count", "1 to 1000000"),
    "no sources": (factory.EditPairsRequest(count=1), "sources", "1 to 256"),
    "indices beyond 64 bits": (
        factory.EditPairsRequest(count=2, first_index=2**64 - 1, sources=[source()]),
        "first_index",
        "18446744073709551614",
    ),
    "second layout out of range": (
        factory.EditPairsRequest(count=1, sources=[source(), source(layout=raw(value=9))]),
        "sources[1].layout",
        "9",
    ),
    "unknown label encoding": (
        factory.EditPairsRequest(count=1, sources=[source()], label_encoding=9),
        "label_encoding",
        "9",
    ),
    "unknown image format": (
        factory.EditPairsRequest(count=1, sources=[source()], image_format=9),
        "image_format",
        "9",
    ),
    "quality of a format that has none": (
        factory.EditPairsRequest(count=1, sources=[source()], image_quality=9),
        "image_quality",
        "9",
    ),
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


@pytest.mark.parametrize("case", CHANGES)
def test_edits_that_cannot_be_made(editing: Stubs, case: str) -> None:
    edit, code, field, mention = CHANGES[case]
    item = layout.EditItem(layout=half(), edit=edit)
    fine = layout.EditItem(layout=half(), edit=change())
    items = layout.EditLayoutsRequest(items=[fine, item])
    check(lambda: editing.layout.EditLayouts(items), code, f"items[1].edit{field}", mention)
    sources = factory.EditPairsRequest(count=1, sources=[source(), source(edit)])
    check(lambda: list(editing.factory.EditPairs(sources)), code, f"sources[1].edit{field}", mention)


@pytest.mark.parametrize("case", PICTURES)
def test_images_that_cannot_be_edited(editing: Stubs, case: str) -> None:
    image, field, mention = PICTURES[case]
    request = factory.EditPairsRequest(count=1, sources=[source(image=image)])
    check(lambda: list(editing.factory.EditPairs(request)), INVALID, f"sources[0].image{field}", mention)


@pytest.mark.parametrize("case", EDIT_PAIR_CASES)
def test_pairs_that_cannot_be_edited(editing: Stubs, case: str) -> None:
    request, field, mention = EDIT_PAIR_CASES[case]
    check(lambda: list(editing.factory.EditPairs(request)), INVALID, field, mention)


def test_layouts_that_cannot_be_edited(editing: Stubs) -> None:
    def ask(**fields: Any) -> Any:
        return lambda: editing.layout.EditLayouts(layout.EditLayoutsRequest(**fields))

    check(ask(), INVALID, "items", "1 to 256")
    item = layout.EditItem(layout=half(), edit=change())
    check(ask(items=[item] * 257), INVALID, "items", "257")
    check(ask(items=[item], label_encoding=9), INVALID, "label_encoding", "9")
    check(ask(items=[layout.EditItem(edit=change())]), INVALID, "items[0].layout.data", "PNG")
    check(ask(items=[layout.EditItem(layout=raw(value=8), edit=change())]), INVALID, "items[0].layout", "8")


@pytest.mark.parametrize("case", PICTURES)
def test_references_that_show_nothing(editing: Stubs, case: str) -> None:
    wrong, field, mention = PICTURES[case]
    item = image.ImageItem(layout=half(), reference=image.StyleReference(image=wrong, layout=half()))
    request = image.TranslateLayoutsRequest(items=[item])
    check(lambda: editing.image.TranslateLayouts(request), INVALID, f"items[0].reference.image{field}", mention)


def test_references_need_a_layout(editing: Stubs) -> None:
    item = image.ImageItem(layout=half(), reference=image.StyleReference(image=picture(), layout=raw(value=7)))
    request = image.TranslateLayoutsRequest(items=[item])
    check(lambda: editing.image.TranslateLayouts(request), INVALID, "items[0].reference.layout", "7")


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
    "EditLayouts": lambda stubs, bundle: stubs.layout.EditLayouts(layout.EditLayoutsRequest(bundle=bundle)),
    "EditPairs": lambda stubs, bundle: list(stubs.factory.EditPairs(factory.EditPairsRequest(bundle=bundle, count=1))),
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
