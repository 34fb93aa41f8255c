"""The blocks of the progressive layout networks (Figure 2): features to features of another resolution.

Shape suffixes: B batch, F features, C channels, H and W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.models.layers import (
    EqualisedConv2d,
    EqualisedLinear,
    average_pool,
    leaky_relu,
    normalised_leaky_relu,
)
from semantic_palette_training.precision import at_least_float32


class BaseBlock(nn.Module):
    """Noise and palette to features at the base resolution."""

    def __init__(self, in_features: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (channels, height, width)
        self.dense = EqualisedLinear(in_features, channels * height * width, gain=2**0.5 / 4)
        self.conv = EqualisedConv2d(channels, channels, 3)

    def forward(self, code_BF: Tensor) -> Tensor:
        """Features of a code."""
        x_BCHW = self.dense(code_BF).unflatten(1, self.shape)
        return normalised_leaky_relu(self.conv(normalised_leaky_relu(x_BCHW)))


class UpBlock(nn.Module):
    """Features to features at twice the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv2d(in_channels, out_channels, 3)
        self.conv1 = EqualisedConv2d(out_channels, out_channels, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of features."""
        x_BCHW = functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
        return normalised_leaky_relu(self.conv1(normalised_leaky_relu(self.conv0(x_BCHW))))


class DownBlock(nn.Module):
    """Features to features at half the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv2d(in_channels, in_channels, 3)
        self.conv1 = EqualisedConv2d(in_channels, out_channels, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of features."""
        return average_pool(leaky_relu(self.conv1(leaky_relu(self.conv0(x_BCHW)))))


def append_batch_deviation(x_BCHW: Tensor) -> Tensor:
    """Append a channel that holds the mean over features of their standard deviation over the batch."""
    variance_CHW = at_least_float32(x_BCHW).var(dim=0, unbiased=False)
    deviation = (variance_CHW + 1e-8).sqrt().mean().to(x_BCHW.dtype)
    batch, _, height, width = x_BCHW.shape
    return torch.cat([x_BCHW, deviation.expand(batch, 1, height, width)], dim=1)
