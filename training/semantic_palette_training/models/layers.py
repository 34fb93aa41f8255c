"""Layers of progressive GANs: equalised learning rate and pixel normalisation (Karras et al., 2018).

Activations have hand-written gradients, and so have convolutions (models/convolution.py). Automatic differentiation of
leaky ReLU and pooling sends zeros back through the whole network when a gradient penalty is differentiated, which costs
as much as the penalty's own work; and pixel normalisation keeps five tensors of its input's size where its gradient
needs one.

Shape suffixes: B batch, F features, C channels, H and W pixels.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from semantic_palette_training.models.convolution import convolution
from semantic_palette_training.precision import at_least_float32

LEAKY_SLOPE = 0.2

_EPSILON = 1e-8


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with the slope of progressive GANs (0.2); differentiable twice, its second derivative being 0."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _LeakyRelu.apply(x)  # type: ignore[no-untyped-call, no-any-return]
    return functional.leaky_relu(x, LEAKY_SLOPE)


def average_pool(x_BCHW: Tensor) -> Tensor:
    """Means of 2x2 blocks; differentiable twice."""
    if torch.is_grad_enabled() and x_BCHW.requires_grad:
        return _AveragePool.apply(x_BCHW)  # type: ignore[no-untyped-call, no-any-return]
    return functional.avg_pool2d(x_BCHW, 2)


def pixel_norm(x_BC: Tensor) -> Tensor:
    """Divide each position's channel vector (axis 1) by its root mean square."""
    return x_BC * _inverse_rms(x_BC)


def normalised_leaky_relu(x_BCHW: Tensor) -> Tensor:
    """`pixel_norm(leaky_relu(x))`, differentiable once."""
    if torch.is_grad_enabled() and x_BCHW.requires_grad:
        return _NormalisedLeakyRelu.apply(x_BCHW)  # type: ignore[no-untyped-call, no-any-return]
    return pixel_norm(functional.leaky_relu(x_BCHW, LEAKY_SLOPE))


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
        return convolution(x_BCHW, self.weight * self.scale, self.bias, self.stride, self.padding)


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


class _LeakyRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = functional.leaky_relu(x, LEAKY_SLOPE)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Detached: which side of 0 an activation is on does not change with the weights, so no path leads there.
        return _LeakyReluGradient.apply(gradient, ctx.saved_tensors[0].detach())  # type: ignore[no-untyped-call, no-any-return]


class _LeakyReluGradient(torch.autograd.Function):
    """Linear in the gradient, and its own transpose."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return _through_leaky_relu(gradient, y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _LeakyReluGradient.apply(gradient, ctx.saved_tensors[0]), None  # type: ignore[no-untyped-call]


class _AveragePool(torch.autograd.Function):
    """Linear; its transpose spreads a quarter over each block."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor) -> Tensor:
        return functional.avg_pool2d(x_BCHW, 2)

    @staticmethod
    def backward(ctx: Any, gradient_BCHW: Tensor) -> Tensor:
        return _AveragePoolGradient.apply(gradient_BCHW)  # type: ignore[no-untyped-call, no-any-return]


class _AveragePoolGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient_BCHW: Tensor) -> Tensor:
        return functional.interpolate(gradient_BCHW * 0.25, scale_factor=2.0, mode="nearest")

    @staticmethod
    def backward(ctx: Any, gradient_BCHW: Tensor) -> Tensor:
        return _AveragePool.apply(gradient_BCHW)  # type: ignore[no-untyped-call, no-any-return]


class _NormalisedLeakyRelu(torch.autograd.Function):
    """With a = leaky_relu(x), r = 1 / rms(a) and y = r a: da = r (g - y mean(g y)), the mean over channels."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor) -> Tensor:
        y_BCHW = functional.leaky_relu(x_BCHW, LEAKY_SLOPE)
        scale_B1HW = _inverse_rms(y_BCHW)
        y_BCHW = y_BCHW.mul_(scale_B1HW)
        ctx.save_for_backward(y_BCHW, scale_B1HW)
        return y_BCHW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCHW: Tensor) -> Tensor:
        y_BCHW, scale_B1HW = ctx.saved_tensors
        along_B1HW = (gradient_BCHW * y_BCHW).mean(dim=1, keepdim=True)
        gradient_BCHW = torch.addcmul(gradient_BCHW, y_BCHW, along_B1HW, value=-1.0).mul_(scale_B1HW)
        return _through_leaky_relu(gradient_BCHW, y_BCHW)


def _through_leaky_relu(gradient: Tensor, y: Tensor) -> Tensor:
    """`gradient` where the activation let `y` through, a fifth of it elsewhere."""
    result: Tensor = torch.ops.aten.leaky_relu_backward(gradient, y, LEAKY_SLOPE, True)
    return result


def _inverse_rms(x_BC: Tensor) -> Tensor:
    return torch.rsqrt(at_least_float32(x_BC).square().mean(dim=1, keepdim=True) + _EPSILON).to(x_BC.dtype)
