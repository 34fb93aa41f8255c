"""The discriminator's part of a WGAN-GP step (section 3.2), in passes that leave gradients.

    loss of the discriminator = mean(scores of fakes) - mean(scores of reals) + weight * penalty
    loss of the generator     = -mean(scores of fakes)

The discriminator does not change between the two updates, so one pass over the fakes serves both.

Shape suffixes: B batch, K classes, H and W pixels.
"""

from collections.abc import Callable

from torch import Tensor

from semantic_palette_training.precision import at_least_float32

Scores = Callable[[Tensor], Tensor]
"""A discriminator: layouts [B, K, H, W] to scores [B]."""


def judge_fakes(scores: Scores, fake_BKHW: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Leave the discriminator's gradients of what it minimises of a shard's fakes.

    Args:
        scores: the discriminator.
        fake_BKHW: generated layouts.
        weight: of the shard.

    Returns:
        The mean score, and the gradient of the generator's adversarial loss with respect to the fakes, weighted.
    """
    leaf_BKHW = fake_BKHW.detach().requires_grad_(True)
    score = at_least_float32(scores(leaf_BKHW)).mean()
    (weight * score).backward()  # type: ignore[no-untyped-call]
    assert leaf_BKHW.grad is not None
    return score.detach(), -leaf_BKHW.grad


def judge_reals(scores: Scores, real_BKHW: Tensor, weight: float) -> Tensor:
    """The same of its real layouts; returns the mean score."""
    score = at_least_float32(scores(real_BKHW)).mean()
    (-weight * score).backward()  # type: ignore[no-untyped-call]
    return score.detach()
