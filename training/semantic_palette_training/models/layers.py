"""Layers of progressive GANs: equalised learning rate and pixel normalisation (Karras et al., 2018)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAKY_SLOPE = 0.2


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with the slope of progressive GANs (0.2)."""
    return functional.leaky_relu(x, LEAKY_SLOPE)


def pixel_norm(x_BC: Tensor) -> Tensor:
    """Divide each position's channel vector (axis 1) by its root mean square."""
    return x_BC * torch.rsqrt(x_BC.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualisedConv2d(nn.Module):
    """Convolution whose weights are N(0, 1) and scaled by gain / sqrt(fan_in) at run time.

    Adam then moves every layer at the same relative speed. Keeps the spatial size when `stride` is 1 and `padding` is
    left at its default.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        gain: float = math.sqrt(2.0),
        stride: tuple[int, int] = (1, 1),
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(in_channels * kernel_size**2)
        self.stride = stride
        self.padding = kernel_size // 2 if padding is None else padding

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve."""
        return functional.conv2d(x_BCHW, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class EqualisedLinear(nn.Module):
    """Dense layer whose weights are N(0, 1) and scaled by gain / sqrt(fan_in) at run time."""

    def __init__(self, in_features: int, out_features: int, *, gain: float = math.sqrt(2.0)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = gain / math.sqrt(in_features)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Multiply."""
        return functional.linear(x_BF, self.weight * self.scale, self.bias)
