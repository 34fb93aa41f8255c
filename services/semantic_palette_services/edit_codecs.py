"""Conversions between the messages of edits and arrays. K classes, H height, W width in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import Box, Mask, RegionShares, ShareEdit, check_mask
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.v1 import common_pb2
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
    if edit.target is not None:
        target = common_pb2.ShareTargets(shares=edit.target)
        return common_pb2.LayoutEdit(region=region_to_proto(mask_HW), target=target)
    deltas = common_pb2.ShareDeltas(deltas=edit.deltas)
    return common_pb2.LayoutEdit(region=region_to_proto(mask_HW), deltas=deltas)


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
