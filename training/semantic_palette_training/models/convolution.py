"""Convolution with gradients of its own, for networks under a gradient penalty.

Automatic differentiation of a convolution's gradient also gives one, of zeros, for the maps that were convolved. It is
passed on through all layers before: a third of the penalty's work. Here what is not there is not computed. On a CPU
wide 3x3 layers are Winograd convolutions.

A convolution is linear in its maps and in its weight, so three operations are each other's gradients: the convolution,
its transpose (the gradient with respect to the maps) and its correlation (that with respect to the weight).

Shape suffixes: B batch, C input and D output channels, H and W pixels, R and S sides of kernels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from semantic_palette_training.models import winograd

Geometry = tuple[tuple[int, int], int]
"""Stride and padding."""


def convolution(x_BCHW: Tensor, weight_DCRS: Tensor, bias_D: Tensor, stride: tuple[int, int], padding: int) -> Tensor:
    """`torch.nn.functional.conv2d`, as often differentiable, under autocast too."""
    if not (torch.is_grad_enabled() and weight_DCRS.requires_grad):
        return functional.conv2d(x_BCHW, weight_DCRS, bias_D, stride, padding)
    device = x_BCHW.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x_BCHW, weight_DCRS, bias_D = x_BCHW.to(dtype), weight_DCRS.to(dtype), bias_D.to(dtype)
    return _Convolution.apply(x_BCHW, weight_DCRS, bias_D, (stride, padding))  # type: ignore[no-untyped-call, no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_DCRS: Tensor, bias_D: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight_DCRS)
        ctx.geometry = geometry
        if geometry == ((1, 1), 1) and winograd.pays(x_BCHW, weight_DCRS):
            y_BDHW = winograd.convolve(x_BCHW, weight_DCRS)
            return y_BDHW if bias_D is None else y_BDHW.add_(bias_D[:, None, None])
        return functional.conv2d(x_BCHW, weight_DCRS, bias_D, *geometry)

    @staticmethod
    def backward(ctx: Any, gradient_BDHW: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x_BCHW, weight_DCRS = ctx.saved_tensors
        x_gradient = weight_gradient = bias_gradient = None
        if _wanted(ctx, 0):
            # Detached: the transpose depends on the size of the maps alone.
            x_gradient = _Transpose.apply(gradient_BDHW, weight_DCRS, x_BCHW.detach(), ctx.geometry)  # type: ignore[no-untyped-call]
        if _wanted(ctx, 1):
            weight_gradient = _Correlation.apply(x_BCHW, gradient_BDHW, weight_DCRS.detach(), ctx.geometry)  # type: ignore[no-untyped-call]
        if _wanted(ctx, 2):
            bias_gradient = gradient_BDHW.sum(dim=(0, 2, 3))
        return x_gradient, weight_gradient, bias_gradient, None


class _Transpose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y_BDHW: Tensor, weight_DCRS: Tensor, like_BCHW: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(y_BDHW, weight_DCRS)
        ctx.geometry = geometry
        if geometry == ((1, 1), 1) and winograd.pays(y_BDHW, weight_DCRS):
            return winograd.convolve(y_BDHW, weight_DCRS, transposed=True)
        return _native_gradients(y_BDHW, like_BCHW, weight_DCRS, geometry, 0)

    @staticmethod
    def backward(ctx: Any, gradient_BCHW: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        y_BDHW, weight_DCRS = ctx.saved_tensors
        y_gradient = weight_gradient = None
        if _wanted(ctx, 0):
            y_gradient = _Convolution.apply(gradient_BCHW, weight_DCRS, None, ctx.geometry)  # type: ignore[no-untyped-call]
        if _wanted(ctx, 1):
            weight_gradient = _Correlation.apply(gradient_BCHW, y_BDHW, weight_DCRS.detach(), ctx.geometry)  # type: ignore[no-untyped-call]
        return y_gradient, weight_gradient, None, None


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, y_BDHW: Tensor, like_DCRS: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x_BCHW, y_BDHW)
        ctx.geometry = geometry
        if geometry == ((1, 1), 1) and winograd.pays(x_BCHW, like_DCRS):
            return winograd.correlate(x_BCHW, y_BDHW)
        return _native_gradients(y_BDHW, x_BCHW, like_DCRS, geometry, 1)

    @staticmethod
    def backward(ctx: Any, gradient_DCRS: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x_BCHW, y_BDHW = ctx.saved_tensors
        x_gradient = y_gradient = None
        if _wanted(ctx, 0):
            x_gradient = _Transpose.apply(y_BDHW, gradient_DCRS, x_BCHW.detach(), ctx.geometry)  # type: ignore[no-untyped-call]
        if _wanted(ctx, 1):
            y_gradient = _Convolution.apply(x_BCHW, gradient_DCRS, None, ctx.geometry)  # type: ignore[no-untyped-call]
        return x_gradient, y_gradient, None, None


def _native_gradients(y_BDHW: Tensor, x_BCHW: Tensor, weight_DCRS: Tensor, geometry: Geometry, which: int) -> Tensor:
    """torch's gradient of a convolution with respect to its maps (0) or its weight (1)."""
    (stride, padding), mask = geometry, [which == 0, which == 1, False]
    results = torch.ops.aten.convolution_backward(
        y_BDHW, x_BCHW, weight_DCRS, None, stride, [padding, padding], [1, 1], False, [0, 0], 1, mask
    )
    gradient: Tensor = results[which]
    return gradient


def _wanted(ctx: Any, index: int) -> bool:
    """Whether this backward pass asks for the gradient of an input. A gradient penalty asks for that of the maps alone,
    which `needs_input_grad` does not tell."""
    node = ctx.next_functions[index][0]
    if node is None:
        return False
    # torch has no public call that tells which nodes a pass will reach; its own hooks on several gradients
    # use this one. A release without it costs time alone: what nobody asked for is computed and thrown away.
    will_execute = getattr(torch._C, "_will_engine_execute_node", None)
    if will_execute is None:
        return True
    try:
        return bool(will_execute(node))
    except RuntimeError:  # A leaf, in a pass to chosen inputs.
        return True
