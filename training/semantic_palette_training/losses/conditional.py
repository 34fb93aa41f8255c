"""The conditional objective of the layout generator (section 3.2) and of baseline 1 (appendix B).

Shape suffixes: B batch, K classes, H and W pixels.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from semantic_palette_training.losses.matching import matching_loss
from semantic_palette_training.models.saa import SaaOutput

Conditional = Literal["saa_losses", "matching", "none"]


def entropy_loss(output: SaaOutput) -> Tensor:
    """Mean entropy of the soft layout's pixels in nats (eq. 3): low when paints do not mix."""
    return output.entropy_BHW.mean()


def spread_loss(output: SaaOutput) -> Tensor:
    """Mean squared deviation of the pixels' coverage from 1 (eq. 4): low when the paint covers the frame evenly."""
    return (1.0 - output.coverage_BHW).square().mean()


def conditional_losses(outputs: Sequence[SaaOutput]) -> tuple[Tensor, Tensor]:
    """Entropy and spread losses, each summed over the scales of a progressive generator.

    Raises:
        ValueError: `outputs` is empty.
    """
    return _summed([entropy_loss(output) for output in outputs]), _summed([spread_loss(output) for output in outputs])


def conditional_terms(
    kind: Conditional, outputs: Sequence[SaaOutput], palette_BK: Tensor, *, multi_scale: bool
) -> dict[str, Tensor]:
    """The terms of a conditional objective by name, scalars; their sum is the objective (appendix F: equal weights).

    Args:
        kind: `saa_losses` (entropy and spread), `matching` (baseline 1) or `none`.
        outputs: of every scale, coarsest first.
        palette_BK: what was asked for.
        multi_scale: sum over all scales, as section 3.2 has it, or take the last alone (Table 4 without "Multi Scale").
    """
    supervised = outputs if multi_scale else outputs[-1:]
    match kind:
        case "saa_losses":
            entropy, spread = conditional_losses(supervised)
            return {"entropy": entropy, "spread": spread}
        case "matching":
            return {"matching": _summed([matching_loss(output.soft_BKHW, palette_BK) for output in supervised])}
        case "none":
            return {}


def _summed(losses: Sequence[Tensor]) -> Tensor:
    if not losses:
        raise ValueError("outputs: a generator makes at least one scale")
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total
