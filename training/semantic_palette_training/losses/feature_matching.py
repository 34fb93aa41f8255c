"""Feature matching (Wang et al., 2018, eq. 4): a generated image should look like the real one to the discriminator."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from semantic_palette_training.models.patch_discriminator import PatchFeatures


def feature_matching_loss(fake_scales: Sequence[PatchFeatures], real_scales: Sequence[PatchFeatures]) -> Tensor:
    """Mean absolute difference of features, summed over the layers of a scale, averaged over scales.

    The last entry of a scale, its scores, does not count. The real images' features are a target: no gradient flows
    into them.
    """
    losses = [
        functional.l1_loss(fake.float(), real.detach().float())
        for fakes, reals in zip(fake_scales, real_scales, strict=True)
        for fake, real in zip(fakes[:-1], reals[:-1], strict=True)
    ]
    return torch.stack(losses).sum() / len(fake_scales)
