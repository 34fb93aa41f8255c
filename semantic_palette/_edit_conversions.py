"""Edits and references to protobuf messages, and what became of edits back. H height, W width."""

import io
import re
from dataclasses import asdict

import numpy as np
from PIL import Image

from semantic_palette import _conversions as convert
from semantic_palette._client_types import (
    BundleDescription,
    EditedLayout,
    EditItem,
    EditSource,
    EncodedImage,
    ImageFormat,
    ImageLike,
    RegionLike,
    StyleReference,
)
from semantic_palette.editing import Box, RegionShares
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import check_labels
from semantic_palette.pair import EditedPair
from semantic_palette.v1 import common_pb2, factory_service_pb2, image_service_pb2, layout_service_pb2

_IMAGE_STARTS: "dict[ImageFormat, bytes]" = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF....WEBP",
}
"""How files of the formats begin."""


def image_to_proto(image: ImageLike, field: str) -> common_pb2.Image:
    """Which sizes a bundle takes is the service's to judge."""
    if isinstance(image, EncodedImage):
        return common_pb2.Image(
            format=convert.image_format_to_proto(image.format), height=image.height, width=image.width, data=image.data
        )
    if isinstance(image, bytes):
        for image_format, start in _IMAGE_STARTS.items():
            if re.match(start, image, re.DOTALL):
                return common_pb2.Image(format=convert.image_format_to_proto(image_format), data=image)
        raise InvalidInputError(field, f"{len(image)} bytes", f"a file of {', '.join(_IMAGE_STARTS)}")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise InvalidInputError(field, f"{pixels.dtype} {list(pixels.shape)}", "a uint8 array [height, width, 3]")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return common_pb2.Image(format=common_pb2.IMAGE_FORMAT_PNG, data=buffer.getvalue())


def reference_to_proto(reference: StyleReference | None, field: str) -> image_service_pb2.StyleReference | None:
    """None stays unset: no reference."""
    if reference is None:
        return None
    return image_service_pb2.StyleReference(
        image=image_to_proto(reference.image, f"{field}.image"),
        layout=convert.layout_to_proto(reference.layout, f"{field}.layout"),
    )


def region_to_proto(region: RegionLike, field: str) -> common_pb2.Region:
    """Whether it is within the frame is the service's to judge."""
    if region is None:
        return common_pb2.Region()
    if isinstance(region, bytes):
        return common_pb2.Region(mask=convert.layout_to_proto(region, field))
    if not isinstance(region, Box):
        mask = np.asarray(region)
        values = mask.astype(np.uint8) if mask.dtype == np.bool_ else check_labels(mask, num_classes=256, field=field)
        return common_pb2.Region(mask=convert.layout_to_proto(values, field))
    try:
        return common_pb2.Region(box=common_pb2.Box(**asdict(region)))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(field, region, f"a box of pixels from 0 to 2**32 - 1 ({error})") from error


def edit_to_proto(item: EditItem | EditSource, field: str) -> common_pb2.LayoutEdit:
    """Shares and changes are sent as they are given: the service is their one judge."""
    edit = common_pb2.LayoutEdit(region=region_to_proto(item.region, f"{field}.region"))
    if (item.target is None) == (item.deltas is None):
        given = "neither" if item.target is None else "both"
        raise InvalidInputError(field, given, "either target or deltas")
    try:
        if item.target is not None:
            edit.target.CopyFrom(common_pb2.ShareTargets(shares=dict(item.target)))
        else:
            edit.deltas.CopyFrom(common_pb2.ShareDeltas(deltas=dict(item.deltas or {})))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(field, item.target or item.deltas, f"numbers by class name ({error})") from error
    return edit


def edited_layout_from_proto(message: layout_service_pb2.EditedLayout, bundle: BundleDescription) -> EditedLayout:
    with convert.reading("layout"):
        region = region_shares_from_proto(message.region, bundle.label_space)
        return EditedLayout(convert.labels_from_proto(message.layout, bundle), message.layout.data, region)


def region_shares_from_proto(message: common_pb2.RegionShares, space: LabelSpace) -> RegionShares:
    return RegionShares(
        convert.palette_from_proto(message.requested, space),
        convert.palette_from_proto(message.achieved, space),
        message.kl,
        message.area,
    )


def edited_pair_from_proto(message: factory_service_pb2.EditPairsResponse, bundle: BundleDescription) -> EditedPair:
    with convert.reading("pair"):
        region = region_shares_from_proto(message.region, bundle.label_space)
        return EditedPair(**convert.pair_fields(message.pair, bundle), region=region)
