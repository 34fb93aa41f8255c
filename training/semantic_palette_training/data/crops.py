"""Which part of a layout the editor repaints, and its palette (section 4.2). Random numbers are passed in.

Legend: B batch, K classes, E = K + 1 classes with the background last, H and W pixels.
"""

from typing import Literal

import torch
from torch import Tensor

CropName = Literal["rectangle", "band", "none"]


def crop_masks(
    crop: CropName, draws_B4: Tensor, height: int, width: int, sides: tuple[float, float] = (0.25, 1.0)
) -> Tensor:
    """Which pixels of each layout are to be repainted, bool [B, H, W], on the draws' device.

    Args:
        crop: rectangle (the paper): a patch. band (its public code): a patch of full height. none: nothing, for edits
            that add to a whole layout.
        draws_B4: uniform in [0, 1): for the patch's height, width, first row and first column.
        height: rows of the layouts.
        width: columns of the layouts.
        sides: shares of the layout's side between which the patch's are uniform; the paper does not say.
    """
    rows_BH = _intervals(draws_B4[:, 0], draws_B4[:, 2], height, sides)
    columns_BW = _intervals(draws_B4[:, 1], draws_B4[:, 3], width, sides)
    match crop:
        case "rectangle":
            return rows_BH[:, :, None] & columns_BW[:, None, :]
        case "band":
            return columns_BW[:, None, :].expand(-1, height, -1)
        case "none":
            return torch.zeros(len(draws_B4), height, width, dtype=torch.bool, device=draws_B4.device)


def region_palette(labels_BHW: Tensor, region_BHW: Tensor, num_classes: int) -> Tensor:
    """The palette of what is in the region, float32 [B, E]: shares of the whole frame; the background is the rest.

    Args:
        labels_BHW: class ids, uint8 or int64.
        region_BHW: which pixels are to be repainted, bool.
        num_classes: K.
    """
    # Every pixel outside counts as background; the counts are whole, so the shares do not depend on their order.
    ids_BN = torch.where(region_BHW, labels_BHW.long(), num_classes).flatten(1)
    return class_shares(ids_BN, num_classes + 1)


def class_shares(ids_BN: Tensor, num_classes: int) -> Tensor:
    """Share of each class among the ids of a sample, float32 [B, K]."""
    counts_BK = torch.zeros(len(ids_BN), num_classes, device=ids_BN.device)
    counts_BK.scatter_add_(1, ids_BN.long(), torch.ones_like(ids_BN, dtype=torch.float32))
    return counts_BK / ids_BN.shape[1]


def _intervals(length_B: Tensor, start_B: Tensor, size: int, sides: tuple[float, float]) -> Tensor:
    """Which of `size` places lie in an interval of random length and start, bool [B, size]; at least one does."""
    lowest, highest = sides
    places_B = ((lowest + (highest - lowest) * length_B) * size).round().clamp(1, size)
    first_B = (start_B * (size - places_B + 1)).floor()
    places_S = torch.arange(size, device=length_B.device)
    return (places_S >= first_B[:, None]) & (places_S < (first_B + places_B)[:, None])
