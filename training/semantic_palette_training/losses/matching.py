"""Direct matching of class shares: the conditional objective of baseline 1 (appendix B).

Shape suffixes: B batch, K classes, H and W pixels.
"""

import torch
from torch import Tensor

from semantic_palette_training.precision import at_least_float32

#: What a class's soft share counts as at least, so that its logarithm is finite.
_LEAST_SHARE = 1e-12


def soft_histogram(layout_BKHW: Tensor) -> Tensor:
    """Class shares of soft layouts, float32 [B, K] (eq. 12); of hard ones, their histogram (eq. 11)."""
    return at_least_float32(layout_BKHW).mean(dim=(2, 3))


def matching_loss(soft_BKHW: Tensor, palette_BK: Tensor) -> Tensor:
    """Mean KL divergence of the soft layouts' class shares from the palettes (eq. 13), in nats."""
    achieved_BK = soft_histogram(soft_BKHW).clamp_min(_LEAST_SHARE)
    divergence_BK = torch.xlogy(palette_BK, palette_BK) - palette_BK * achieved_BK.log()
    return divergence_BK.sum(dim=1).mean()
