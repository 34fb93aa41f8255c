"""Scalars of a step, summed over its shards without waiting for the device.

Shape suffixes: B batch, K classes, H and W pixels.
"""

import torch
from torch import Tensor


class MetricSum:
    """Adds up weighted means of shards, detached. What a process's shards sum to, the loop sums over processes."""

    def __init__(self) -> None:
        self.values: dict[str, float | Tensor] = {}

    def add(self, weight: float, **scalars: float | Tensor) -> None:
        """Add `weight` times each scalar to the metric of its name."""
        for name, scalar in scalars.items():
            value = scalar.detach() if isinstance(scalar, Tensor) else scalar
            self.values[name] = self.values.get(name, 0.0) + weight * value


def hard_kl(soft_BKHW: Tensor, palette_BK: Tensor) -> Tensor:
    """Mean KL divergence of the arg-max layouts' class shares from the palettes, as in the paper's tables."""
    labels_BN = soft_BKHW.argmax(dim=1).flatten(1)
    ones_BN = torch.ones_like(labels_BN, dtype=torch.float32)
    shares_BK = torch.zeros_like(palette_BK).scatter_add_(1, labels_BN, ones_BN) / labels_BN.shape[1] + 1e-6
    achieved_BK = shares_BK / shares_BK.sum(dim=1, keepdim=True)
    return (torch.xlogy(palette_BK, palette_BK) - torch.xlogy(palette_BK, achieved_BK)).sum(dim=1).mean()
