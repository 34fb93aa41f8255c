"""The entropy of merged layouts: a term of the paper's public code that the paper does not have (section 4.2).

Legend: B batch, K classes, H and W pixels.
"""

from collections.abc import Sequence

from torch import Tensor

#: Below this share a class counts as absent; the logarithm's derivative stays finite at 0, where background has no
#: part in a pixel that holds one class of the input.
_SMALLEST_SHARE = 1e-12


def merged_entropy_loss(merged: Sequence[Tensor]) -> Tensor:
    """Mean entropy in nats of the merged layouts' pixels, summed over the scales.

    Where a region was emptied the input is uniform, so it is background left inside the region that this punishes.

    Args:
        merged: layouts float32 [B, K, H, W] of every scale, distributions over the K classes at every pixel.

    Raises:
        ValueError: `merged` is empty.
    """
    if not merged:
        raise ValueError("merged: an editor makes at least one scale")
    loss = _entropy(merged[0])
    for layout_BKHW in merged[1:]:
        loss = loss + _entropy(layout_BKHW)
    return loss


def _entropy(layout_BKHW: Tensor) -> Tensor:
    return -(layout_BKHW * layout_BKHW.clamp_min(_SMALLEST_SHARE).log()).sum(dim=1).mean()
