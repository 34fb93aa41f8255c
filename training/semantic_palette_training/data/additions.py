"""What is to be added to a layout so that it comes nearer to a palette (section 5.4). Random numbers are passed in.

Legend: B batch, K classes, E = K + 1 classes with the background last.
"""

from typing import Literal

import torch
from torch import Tensor

TargetMix = Literal["none", "half_soft", "linear"]


def additions_palette(target_BK: Tensor, current_BK: Tensor, smallest: float = 0.001) -> Tensor:
    """What each class has to gain, float32 [B, E]: shares of the frame; the background is the rest.

    Only additions are painted: what shrinks does so under what grows.

    Args:
        target_BK: shares that are wanted, float32, each row on the simplex.
        current_BK: shares of the layout, float32, each row on the simplex.
        smallest: a gain below this share of the frame becomes 0, so that nothing is asked for that no pixel can show.
    """
    gains_BK = (target_BK - current_BK).clamp_min(0.0)
    gains_BK = torch.where(gains_BK < smallest, 0.0, gains_BK)
    background_B1 = (1.0 - gains_BK.sum(dim=1, keepdim=True)).clamp_min(0.0)
    return torch.cat([gains_BK, background_B1], dim=1)


def mixed_target(mix: TargetMix, target_BK: Tensor, current_BK: Tensor, draws_B2: Tensor) -> Tensor:
    """The target moved towards the layout's own palette, float32 [B, K], so that small edits are learned too.

    Args:
        mix: none: the target as it is (the paper says nothing of mixing). half_soft: for one sample in two a quarter
            of the way from the current palette to the target. linear: anywhere on that way. Both are of the paper's
            public code.
        target_BK: shares that are wanted, float32, each row on the simplex.
        current_BK: shares of the layout, float32, each row on the simplex.
        draws_B2: uniform in [0, 1): whether to mix, and how far to go.
    """
    match mix:
        case "none":
            return target_BK
        case "half_soft":
            weight_B = torch.where(draws_B2[:, 0] < 0.5, 0.25, 1.0)
        case "linear":
            weight_B = draws_B2[:, 1]
    return torch.lerp(current_BK, target_BK, weight_B[:, None])
