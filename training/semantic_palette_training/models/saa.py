"""Semantically-assisted activation: scores and a palette to a soft layout (section 3.1, eqs. 1 and 2).

Shape suffixes: B batch, K classes, H and W pixels, N = H * W.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Log weight of a class whose share is 0. Finite, so that 0 * weight is 0 and no gradient is NaN; small enough that its
#: exponential is exactly 0 in float32.
FORBIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class SaaOutput:
    """What SAA makes of scores and a palette; everything float32."""

    soft_BKHW: Tensor
    """m of eq. 2: a distribution over classes at every pixel; exactly 0 for classes whose share is 0."""
    log_omega_BKHW: Tensor
    """Logarithm of the weighted density omega = t * rho, which sums to t_c over the pixels of class c."""
    coverage_BHW: Tensor
    """H * W * sum over classes of omega: 1 where the pixel receives its even share of paint (eq. 4)."""
    log_total_BHW: Tensor
    """Logarithm of the sum of omega over classes."""


def log_omega(scores_BKHW: Tensor, palette_BK: Tensor) -> Tensor:
    """Logarithm of omega = t * softmax over pixels of the scores (eq. 1 and the product after it).

    The arg-max over classes is the natural layout: eq. 2 divides all classes of a pixel by the same number.
    """
    scores = scores_BKHW.float()
    palette = palette_BK.float()
    log_palette = torch.where(palette > 0, palette.clamp_min(1e-30).log(), FORBIDDEN)
    log_normaliser = torch.logsumexp(scores.flatten(2), dim=2)
    return scores + (log_palette - log_normaliser)[:, :, None, None]


def saa(scores_BKHW: Tensor, palette_BK: Tensor) -> SaaOutput:
    """One step of SAA in the log domain, which stays finite where the literal form divides 0 by 0.

    Args:
        scores_BKHW: class preferences f, any float dtype; computed in float32.
        palette_BK: class proportions t, each row on the simplex.
    """
    weights = log_omega(scores_BKHW, palette_BK)
    log_total = torch.logsumexp(weights, dim=1)
    num_pixels = weights.shape[2] * weights.shape[3]
    return SaaOutput(
        soft_BKHW=torch.exp(weights - log_total[:, None]),
        log_omega_BKHW=weights,
        coverage_BHW=torch.exp(log_total + math.log(num_pixels)),
        log_total_BHW=log_total,
    )
