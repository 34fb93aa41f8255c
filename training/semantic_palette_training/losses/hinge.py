"""The hinge objective (Lim and Ye, 2017), as GauGAN uses it (Park et al., 2019, section 3): scores of real samples are
pushed above 1, those of generated ones below -1.

Scores come as one tensor a scale, each of any shape; every scale counts the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real_scores: Sequence[Tensor], fake_scores: Sequence[Tensor]) -> Tensor:
    """Mean over scales of mean(max(0, 1 - real)) + mean(max(0, 1 + fake))."""
    losses = [
        functional.relu(1.0 - real.float()).mean() + functional.relu(1.0 + fake.float()).mean()
        for real, fake in zip(real_scores, fake_scores, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake_scores: Sequence[Tensor]) -> Tensor:
    """Mean over scales of -mean(fake)."""
    return torch.stack([-fake.float().mean() for fake in fake_scores]).mean()
