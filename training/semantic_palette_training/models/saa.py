"""Semantically-assisted activation: scores and a palette to a soft layout (section 3.1, eqs. 1 and 2; appendix A).

Shape suffixes: B batch, K classes, H and W pixels, N = H * W. Everything is computed in float32, or in float64 where
the scores are.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semantic_palette_training.precision import at_least_float32

#: Log weight of a class whose share is 0. Finite, so that 0 * weight is 0 and no gradient is NaN; small enough that its
#: exponential is exactly 0 in float32.
FORBIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class SaaOutput:
    """A soft layout and what the conditional losses need of how it was made; float32."""

    soft_BKHW: Tensor
    """m of eq. 2: a distribution over classes at every pixel; under SAA exactly 0 for classes whose share is 0."""
    coverage_BHW: Tensor
    """H * W * sum over classes of omega: 1 where the pixel receives its even share of paint (eq. 4)."""
    entropy_BHW: Tensor
    """e of eq. 3: the entropy of m at every pixel, in nats."""


def log_omega(scores_BKHW: Tensor, palette_BK: Tensor) -> Tensor:
    """Logarithm of omega = t * softmax over pixels of the scores (eq. 1 and the product after it).

    The arg-max over classes is the natural layout: eq. 2 divides all classes of a pixel by the same number. Applying
    it again changes nothing.
    """
    scores, palette = at_least_float32(scores_BKHW), at_least_float32(palette_BK)
    log_palette = torch.where(palette > 0, palette.clamp_min(1e-30).log(), FORBIDDEN)
    log_normaliser = torch.logsumexp(scores.flatten(2), dim=2)
    return scores + (log_palette - log_normaliser)[:, :, None, None]


def saa(scores_BKHW: Tensor, palette_BK: Tensor, *, sinkhorn_steps: int = 1, temperature: float = 1.0) -> SaaOutput:
    """SAA in the log domain, which stays finite where the literal form divides 0 by 0.

    The gradient with respect to the scores is derived by hand: it needs m and log_total alone, so that neither rho nor
    omega is kept, and it is 0 for a class whose share is 0. It cannot be differentiated again.

    Args:
        scores_BKHW: class preferences f, any float dtype.
        palette_BK: class proportions t, each row on the simplex; no gradient reaches it.
        sinkhorn_steps: sweeps of eqs. 9 and 10. 1 is the paper's SAA; more bring the soft layout's shares nearer to
            the palette. omega, and with it the coverage, is the plan after the last sweep's eq. 9.
        temperature: what the scores are divided by.
    """
    scores_BKHW = balanced_scores(scores_BKHW, palette_BK, sinkhorn_steps=sinkhorn_steps, temperature=temperature)
    soft_BKHW, log_total_BHW, entropy_BHW = _sweep(scores_BKHW, palette_BK)
    height, width = soft_BKHW.shape[2:]
    return SaaOutput(soft_BKHW, torch.exp(log_total_BHW + math.log(height * width)), entropy_BHW)


def balanced_scores(scores_BKHW: Tensor, palette_BK: Tensor, *, sinkhorn_steps: int, temperature: float) -> Tensor:
    """Scores of which one sweep is `sinkhorn_steps` sweeps of `scores_BKHW` / `temperature`.

    After a sweep the plan is exp(f + b - z), with a number b for every class and z = log_total for every pixel. Eq. 9
    divides any factor of a class out, so the next sweep may as well begin from exp(f - z).
    """
    scores_BKHW = at_least_float32(scores_BKHW) / temperature
    for _ in range(sinkhorn_steps - 1):
        _, log_total_BHW, _ = _sweep(scores_BKHW, palette_BK)
        scores_BKHW = scores_BKHW - log_total_BHW[:, None]
    return scores_BKHW


def pixel_softmax(scores_BKHW: Tensor) -> SaaOutput:
    """A softmax over classes at every pixel, for generators without SAA. Every pixel is covered evenly."""
    log_soft_BKHW = at_least_float32(scores_BKHW).log_softmax(dim=1)
    soft_BKHW = log_soft_BKHW.exp()
    entropy_BHW = -(soft_BKHW * log_soft_BKHW).sum(dim=1)
    return SaaOutput(soft_BKHW, torch.ones_like(entropy_BHW), entropy_BHW)


def _sweep(scores_BKHW: Tensor, palette_BK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """m, log_total and entropy of one sweep; exporters, which want no gradient, see plain operations."""
    if torch.is_grad_enabled() and scores_BKHW.requires_grad:
        return _Sweep.apply(scores_BKHW, palette_BK)  # type: ignore[no-untyped-call, no-any-return]
    return _plain_sweep(scores_BKHW, palette_BK)


def _plain_sweep(scores_BKHW: Tensor, palette_BK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weights_BKHW = log_omega(scores_BKHW, palette_BK)
    log_total_BHW = torch.logsumexp(weights_BKHW, dim=1)
    soft_BKHW = torch.exp(weights_BKHW - log_total_BHW[:, None])
    # log m = log omega - log_total; a forbidden class has m = 0 and adds nothing.
    entropy_BHW = log_total_BHW - (soft_BKHW * weights_BKHW).sum(dim=1)
    return soft_BKHW, log_total_BHW, entropy_BHW


class _Sweep(torch.autograd.Function):
    """One sweep. With w = log omega, s = sum over pixels, and upstream gradients g, gz, ge of m, log_total, entropy:

    dw = m * (g - <m, g> + gz - ge * (log m + entropy)),  df = dw - rho * s(dw),  rho = m * exp(log_total) / t.
    """

    @staticmethod
    def forward(ctx: Any, scores_BKHW: Tensor, palette_BK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        soft_BKHW, log_total_BHW, entropy_BHW = _plain_sweep(scores_BKHW, palette_BK)
        ctx.save_for_backward(soft_BKHW, log_total_BHW, entropy_BHW, palette_BK)
        ctx.set_materialize_grads(False)
        return soft_BKHW, log_total_BHW, entropy_BHW

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, soft_gradient: Tensor | None, total_gradient: Tensor | None, entropy_gradient: Tensor | None
    ) -> tuple[Tensor | None, None]:
        soft_BKHW, log_total_BHW, entropy_BHW, palette_BK = ctx.saved_tensors
        common_BHW = torch.zeros_like(log_total_BHW) if total_gradient is None else total_gradient
        if entropy_gradient is not None:
            common_BHW = common_BHW - entropy_gradient * entropy_BHW
        if soft_gradient is None:
            weights_gradient = soft_BKHW * common_BHW[:, None]
        else:
            weights_gradient = soft_BKHW * soft_gradient
            weights_gradient += soft_BKHW * (common_BHW - weights_gradient.sum(dim=1))[:, None]
        if entropy_gradient is not None:
            weights_gradient -= torch.xlogy(soft_BKHW, soft_BKHW) * entropy_gradient[:, None]
        sums_BK = weights_gradient.sum(dim=(2, 3))
        palette_BK = at_least_float32(palette_BK)
        ratio_BK = torch.where(palette_BK > 0, sums_BK / palette_BK.clamp_min(1e-30), 0.0)
        density_BKHW = soft_BKHW * log_total_BHW.exp()[:, None]
        return weights_gradient.addcmul_(density_BKHW, ratio_BK[:, :, None, None], value=-1.0), None
