"""The least-squares objective (Mao et al., 2017), as pix2pixHD uses it (Wang et al., 2018, section 4): scores of real
samples are pulled to 1, those of generated ones to 0.

Scores come as one tensor a scale, each of any shape; every scale counts the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def discriminator_loss(real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> Tensor:
    """Mean over scales of (mean((real - 1)^2) + mean(fake^2)) / 2."""
    losses = [
        0.5 * ((real.float() - 1.0).square().mean() + fake.float().square().mean())
        for real, fake in zip(real_scores, fake_scores, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake_scores: Sequence[Tensor]) -> Tensor:
    """Mean over scales of mean((fake - 1)^2)."""
    return torch.stack([(fake.float() - 1.0).square().mean() for fake in fake_scores]).mean()
