"""Gumbel-softmax: hard samples of soft layouts with a gradient (SB-GAN's answer to hard real layouts; section 3.2).

Shape suffixes: B batch, K classes, H and W pixels.
"""

import torch
from torch import Tensor

#: Below it a probability counts as 0: no noise of float32 lifts its class above the others.
_LEAST_PROBABILITY = 1e-30


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32 on the CPU: minus the logarithm of exponential noise."""
    return -torch.empty(shape).exponential_(generator=generator).clamp_min_(1e-38).log_()


def gumbel_softmax(soft_BKHW: Tensor, noise_BKHW: Tensor, temperature: float) -> Tensor:
    """One-hot layouts whose pixels are drawn from the soft layouts' distributions.

    Backwards it is softmax((ln m + noise) / temperature), the straight-through estimator. A class of probability 0 is
    never drawn.

    Args:
        soft_BKHW: distributions over classes, float32.
        noise_BKHW: standard Gumbel noise (`gumbel_noise`).
        temperature: above 0; low ones follow the sample closely but give large gradients.
    """
    log_soft_BKHW = soft_BKHW.clamp_min(_LEAST_PROBABILITY).log()
    relaxed_BKHW = ((log_soft_BKHW + noise_BKHW) / temperature).softmax(dim=1)
    drawn_B1HW = (log_soft_BKHW.detach() + noise_BKHW).argmax(dim=1, keepdim=True)
    hard_BKHW = torch.zeros_like(relaxed_BKHW).scatter_(1, drawn_B1HW, 1.0)
    return hard_BKHW + (relaxed_BKHW - relaxed_BKHW.detach())
