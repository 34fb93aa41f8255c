"""The perceptual term of pix2pixHD (Wang et al., 2018, section 4) and GauGAN: a generated image should look like the
real one to a network that knows photographs."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of VGG19's relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""


def perceptual_loss(fake_features: Sequence[Tensor], real_features: Sequence[Tensor]) -> Tensor:
    """Weighted sum over five layers of the mean absolute difference; no gradient flows into the real features."""
    losses = [
        weight * functional.l1_loss(fake.float(), real.detach().float())
        for weight, fake, real in zip(LAYER_WEIGHTS, fake_features, real_features, strict=True)
    ]
    return torch.stack(losses).sum()
