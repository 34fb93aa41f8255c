"""Conversions between the messages of edits and arrays. K classes, H height, W width in pixels."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import Box, Mask, RegionShares, ShareEdit, check_mask
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import encode_png
from semantic_palette.pair import EditOrigin
from semantic_palette.v1 import common_pb2, factory_service_pb2
from semantic_palette_services import codecs
from semantic_palette_services.bundle_selection import BundleView
from semantic_palette_services.encoding import LabelEncoding


def region_from_proto(message: common_pb2.Region, bundle: BundleView, field: str) -> Mask:
    """Read which pixels may change, bool ``[H, W]``; the whole frame where the message names none.

    Raises:
        InvalidInputError: the box is not within the frame, the mask is not a map of its size, or no pixel may change.
    """
    match message.WhichOneof("area"):
        case "box":
            box = Box(message.box.left, message.box.top, message.box.right, message.box.bottom)
            return box.mask(bundle.height, bundle.width, f"{field}.box")
        case "mask":
            values = codecs.label_map_from_proto(message.mask, bundle, 256, f"{field}.mask")
            return check_mask(values, f"{field}.mask")
        case _:
            return np.ones((bundle.height, bundle.width), dtype=np.bool_)


def area_from_proto(message: common_pb2.Region, mask_HW: Mask) -> Box | bytes | None:
    """What a region that has been read was given as: a box, a mask (a PNG of 0 and 1) or None, the whole frame."""
    match message.WhichOneof("area"):
        case "box":
            return Box(message.box.left, message.box.top, message.box.right, message.box.bottom)
        case "mask":
            return encode_png(mask_HW.astype(np.uint8))
        case _:
            return None


def origin_to_proto(origin: EditOrigin) -> factory_service_pb2.EditOrigin:
    """Write what an edited pair was made from."""
    edit = _change_to_proto(ShareEdit(origin.target, origin.deltas))
    if isinstance(origin.region, Box):
        edit.region.box.CopyFrom(common_pb2.Box(**asdict(origin.region)))
    elif origin.region is not None:
        edit.region.mask.CopyFrom(common_pb2.LabelMap(encoding=common_pb2.LABEL_ENCODING_PNG, data=origin.region))
    return factory_service_pb2.EditOrigin(
        seed=origin.seed,
        index=origin.index,
        source=origin.source,
        labels_sha256=origin.labels_sha256,
        image_sha256=origin.image_sha256,
        edit=edit,
    )


def region_to_proto(mask_HW: Mask) -> common_pb2.Region:
    """Write which pixels may change."""
    height, width = mask_HW.shape
    data = mask_HW.astype(np.uint8).tobytes()
    return common_pb2.Region(mask=codecs.layout_to_proto(data, LabelEncoding.RAW, height, width))


def change_from_proto(message: common_pb2.LayoutEdit, field: str) -> ShareEdit:
    """Read what shares are asked for; names and values are checked when they meet a layout.

    Raises:
        InvalidInputError: nothing is asked for.
    """
    match message.WhichOneof("change"):
        case "target":
            return ShareEdit(target=dict(message.target.shares))
        case "deltas":
            return ShareEdit(deltas=dict(message.deltas.deltas))
        case _:
            raise InvalidInputError(field, "neither target nor deltas", "one of the two is required and allowed")


def edit_to_proto(mask_HW: Mask, edit: ShareEdit) -> common_pb2.LayoutEdit:
    """Write an edit."""
    message = _change_to_proto(edit)
    message.region.CopyFrom(region_to_proto(mask_HW))
    return message


def _change_to_proto(edit: ShareEdit) -> common_pb2.LayoutEdit:
    if edit.target is not None:
        return common_pb2.LayoutEdit(target=common_pb2.ShareTargets(shares=edit.target))
    return common_pb2.LayoutEdit(deltas=common_pb2.ShareDeltas(deltas=edit.deltas))


def shares_to_proto(space: LabelSpace, region: RegionShares) -> common_pb2.RegionShares:
    """Write what became of a region."""
    return common_pb2.RegionShares(
        requested=codecs.palette_to_proto(space, region.requested),
        achieved=codecs.palette_to_proto(space, region.achieved),
        kl=region.kl,
        area=region.area,
    )


def shares_from_proto(space: LabelSpace, message: common_pb2.RegionShares) -> RegionShares:
    """Read what became of a region."""
    return RegionShares(
        codecs.palette_from_proto(space, message.requested, "region.requested"),
        codecs.palette_from_proto(space, message.achieved, "region.achieved"),
        message.kl,
        message.area,
    )


def raw_layout_to_proto(labels_HW: NDArray[np.uint8]) -> common_pb2.LabelMap:
    """Write a layout without compressing it, for a service close by."""
    height, width = labels_HW.shape
    return codecs.layout_to_proto(np.ascontiguousarray(labels_HW).tobytes(), LabelEncoding.RAW, height, width)
