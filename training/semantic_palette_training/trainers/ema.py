"""Exponential moving average of a network's weights: what is evaluated, sampled and exported."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class ExponentialAverage(Generic[Module]):
    """Keeps `average`, a copy of a network whose weights follow it slowly. Float32."""

    def __init__(self, network: Module, decay: float) -> None:
        self.decay = decay
        self.average = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: Module, step: int) -> None:
        """Move towards `network`; the first steps count more, so that the initial weights are forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1.0 - decay)
        for copied, buffer in zip(self.average.buffers(), network.buffers(), strict=True):
            copied.copy_(buffer)
