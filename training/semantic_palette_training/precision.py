"""The precision that losses, activations and averages are computed in."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 where it is that already: networks give bfloat16 under autocast."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
