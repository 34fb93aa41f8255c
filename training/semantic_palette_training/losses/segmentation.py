"""The OASIS objective (Schoenfeld et al., 2021): adversarial training as per-pixel classification.

Legend: B batch, K classes, H and W pixels. Logits have K+1 channels, of which the last means "fake".
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def class_weights(frequencies_K: Tensor) -> Tensor:
    """The alpha of OASIS, eq. (2): the inverse of each class's expected share of a layout's pixels.

    Scaled so that the expected weight of a pixel is 1, which gives real and fake pixels equal say in the
    discriminator (the paper's own scale would favour the real ones by the number of classes). The expectation is over
    the data set, not the batch: with four scenes a batch a rare class would get all its weight from a few pixels.

    Args:
        frequencies_K: float, each class's share of all pixels, summing to 1; a class that never occurs gets weight 0.
    """
    present_K = frequencies_K > 0
    inverse_K = torch.where(present_K, 1.0 / frequencies_K.clamp_min(1e-12), 0.0)
    return inverse_K / present_K.sum()


def real_loss(logits_BKHW: Tensor, labels_BHW: Tensor, weights_K: Tensor) -> Tensor:
    """Weighted cross-entropy of every pixel with its class, averaged over pixels (OASIS, first term of eq. 1).

    As the discriminator's loss on real images it says "segment"; as the generator's on fake ones (eq. 3) it says
    "be segmented as the layout".
    """
    loss_BHW = functional.cross_entropy(logits_BKHW.float(), labels_BHW.long(), reduction="none")
    return (weights_K[labels_BHW.long()] * loss_BHW).mean()


def fake_loss(logits_BKHW: Tensor) -> Tensor:
    """Cross-entropy of every pixel with the extra class "fake" (OASIS, second term of eq. 1)."""
    return -functional.log_softmax(logits_BKHW.float(), dim=1)[:, -1].mean()


def label_mix_mask(labels_BHW: Tensor, coins_BK: Tensor) -> Tensor:
    """A mask that follows class borders: the coin of each pixel's class, float32 [B, 1, H, W].

    Args:
        labels_BHW: class ids, uint8 or int64.
        coins_BK: for every class of every sample 0 or 1, drawn fairly.
    """
    mask_BN = coins_BK.gather(1, labels_BHW.long().flatten(1))
    return mask_BN.view(labels_BHW.shape).unsqueeze(1).float()


def mix(mask_B1HW: Tensor, first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """`first` where the mask is 1, `second` where it is 0 (OASIS, eq. 4)."""
    return torch.lerp(second_BCHW, first_BCHW, mask_B1HW)


def label_mix_loss(mixed_logits_BKHW: Tensor, logits_of_mix_BKHW: Tensor) -> Tensor:
    """Mean squared difference of mix(D(x), D(G)) and D(mix(x, G)) (OASIS, eq. 5, averaged instead of summed)."""
    return functional.mse_loss(logits_of_mix_BKHW.float(), mixed_logits_BKHW.float())


def colour_anchor_loss(fake_B3HW: Tensor, real_B3HW: Tensor, scales: Sequence[int]) -> Tensor:
    """Mean absolute difference of the two images averaged over s x s blocks, averaged over the scales s.

    Ours, not in OASIS: it settles what colours the parts of a scene have within a few hundred steps and, being blind
    below the finest scale, leaves texture to the discriminator.
    """
    losses = [
        functional.l1_loss(functional.avg_pool2d(fake_B3HW, scale), functional.avg_pool2d(real_B3HW, scale))
        for scale in scales
    ]
    return torch.stack(losses).mean()
