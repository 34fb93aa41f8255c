"""The conditional objective of the layout generator (section 3.2)."""

from collections.abc import Sequence

from torch import Tensor

from semantic_palette_training.models.saa import SaaOutput


def entropy_loss(output: SaaOutput) -> Tensor:
    """Mean entropy of the soft layout's pixels in nats (eq. 3): low when paints do not mix.

    With log m = log omega - log total, the entropy of a pixel is log total - sum of m log omega; a forbidden class has
    m = 0 and adds nothing.
    """
    cross = (output.soft_BKHW * output.log_omega_BKHW).sum(dim=1)
    return (output.log_total_BHW - cross).mean()


def spread_loss(output: SaaOutput) -> Tensor:
    """Mean squared deviation of the pixels' coverage from 1 (eq. 4): low when the paint covers the frame evenly."""
    return (1.0 - output.coverage_BHW).square().mean()


def conditional_losses(outputs: Sequence[SaaOutput]) -> tuple[Tensor, Tensor]:
    """Entropy and spread losses, each summed over the scales of a progressive generator.

    Raises:
        ValueError: `outputs` is empty.
    """
    if not outputs:
        raise ValueError("outputs: a generator makes at least one scale")
    entropy, spread = entropy_loss(outputs[0]), spread_loss(outputs[0])
    for output in outputs[1:]:
        entropy = entropy + entropy_loss(output)
        spread = spread + spread_loss(output)
    return entropy, spread
