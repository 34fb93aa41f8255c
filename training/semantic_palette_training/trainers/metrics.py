"""Scalars of a step, summed over its shards without waiting for the device."""

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
