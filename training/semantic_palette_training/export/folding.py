"""Networks in the form that runs fastest: what does not change after training is computed once, before export.

Parity is measured against the networks as trained, so a wrong fold cannot ship.

Shape suffixes: B batch, Z latent, K classes, S style size, C channels, D = 2 C, T = 9 K,
H and W pixels, N = H * W.
"""

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear
from semantic_palette_training.models.sean import StyledNorm, StyleModulation
from semantic_palette_training.models.spade import ClassAdaptiveModulation, LayoutNorm, SpadeModulation

Network = TypeVar("Network", bound=nn.Module)
Plain = TypeVar("Plain", nn.Conv2d, nn.Linear)


def fold(network: Network) -> Network:
    """A copy of `network` that computes the same function in evaluation mode with fewer operations.

    Run-time weight scales and spectral normalisation become plain weights; class-adaptive modulation becomes two matrix
    products that neither transpose nor split full-size maps; the statistics of normalisation, and the shares by which
    styles and layout are blended, go into what they modulate.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    _replace(folded)
    return folded


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        match child:
            case EqualisedConv2d():
                setattr(module, name, _plain_conv(child))
            case EqualisedLinear():
                setattr(module, name, _plain_linear(child))
            case LayoutNorm():
                setattr(module, name, _folded_norm(child))
            case StyledNorm():
                setattr(module, name, _folded_styles(child))
            case nn.Conv2d() if parametrize.is_parametrized(child):
                setattr(module, name, _without_parametrizations(child))
            case _:
                _replace(child)


def _without_parametrizations(layer: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with the weight that spectral normalisation gives it, in evaluation a constant.

    A new layer: torch's own removal changes a class that the original shares with its copy.
    """
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        stride=layer.stride,  # type: ignore[arg-type]
        padding=layer.padding,  # type: ignore[arg-type]
    )
    plain.weight = nn.Parameter(layer.weight.detach(), requires_grad=False)
    plain.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)
    return plain.eval()


def _plain_conv(layer: EqualisedConv2d) -> nn.Conv2d:
    out_channels, in_channels, kernel_size, _ = layer.weight.shape
    plain = nn.Conv2d(in_channels, out_channels, kernel_size, stride=layer.stride, padding=layer.padding)
    return _copy_scaled(layer, plain)


def _plain_linear(layer: EqualisedLinear) -> nn.Linear:
    out_features, in_features = layer.weight.shape
    return _copy_scaled(layer, nn.Linear(in_features, out_features))


def _copy_scaled(layer: EqualisedConv2d | EqualisedLinear, plain: Plain) -> Plain:
    plain.weight = nn.Parameter(layer.weight.detach() * layer.scale, requires_grad=False)
    plain.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return plain.eval()


class _FoldedNorm(nn.Module):
    """Layout-modulated normalisation whose statistics are inside of gamma and beta."""

    def __init__(self, modulation: nn.Module) -> None:
        super().__init__()
        self.modulation = modulation

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """As `LayoutNorm` and `StyledNorm`."""
        gamma_BCHW, beta_BCHW = self.modulation(layout_BKHW, code)
        return torch.addcmul(beta_BCHW, x_BCHW, gamma_BCHW)


def _folded_norm(norm: LayoutNorm) -> nn.Module:
    match norm.modulation:
        case ClassAdaptiveModulation() as modulation:
            _absorb(norm.normalise, (modulation.table,), modulation.num_classes)
            return _FoldedNorm(_FoldedTable(modulation))
        case SpadeModulation() as modulation:
            _absorb(norm.normalise, _spade_layers(modulation), 1)
            return _FoldedNorm(modulation)
    raise TypeError(f"{type(norm.modulation).__name__} is not a modulation that can be folded")


def _folded_styles(norm: StyledNorm) -> nn.Module:
    """With the shares by which styles and layout are blended in the layers as well: what they give simply adds up."""
    modulation = norm.modulation
    share_D = torch.sigmoid(modulation.blend.detach()).repeat_interleave(modulation.maps.out_channels // 2)
    of_layout = _spade_layers(modulation.layout)
    _scale_rows(modulation.maps, share_D)
    for layer in of_layout:
        _scale_rows(layer, 1.0 - share_D)
    _absorb(norm.normalise, (*of_layout, modulation.maps), 1)
    return _FoldedNorm(_FoldedStyles(modulation))


def _spade_layers(modulation: SpadeModulation) -> tuple[nn.Conv2d | nn.Linear, ...]:
    return (modulation.maps,) if modulation.style is None else (modulation.maps, modulation.style)


def _scale_rows(layer: nn.Conv2d | nn.Linear, scale_D: Tensor) -> None:
    for values in (layer.weight, layer.bias):
        if values is not None:
            values.data *= scale_D.view(-1, *[1] * (values.dim() - 1))


def _absorb(statistics: nn.BatchNorm2d, layers: Iterable[nn.Conv2d | nn.Linear], entries: int) -> None:
    """Make layers that give gamma, then beta, of the normalised features give those of the features themselves.

    Both are sums of the layers' outputs, so gamma / std and beta - gamma * mean / std are linear in them. `entries` is
    how many neighbouring outputs belong to a channel.
    """
    mean, variance = statistics.get_buffer("running_mean"), statistics.get_buffer("running_var")
    scale = torch.rsqrt(variance + statistics.eps).repeat_interleave(entries)
    shift = mean.repeat_interleave(entries) * scale
    for layer in layers:
        for values in (layer.weight, layer.bias):
            if values is not None:
                gamma, beta = values.data.chunk(2)
                rows = (-1, *[1] * (values.dim() - 1))
                beta -= gamma * shift.view(rows)
                gamma *= scale.view(rows)


class _FoldedTable(nn.Module):
    """`ClassAdaptiveModulation` that splits the table, which is small, instead of the maps, which are not."""

    def __init__(self, modulation: ClassAdaptiveModulation) -> None:
        super().__init__()
        self.num_classes = modulation.num_classes
        self.table = modulation.table

    def forward(self, layout_BKHW: Tensor, z_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """As `ClassAdaptiveModulation`."""
        table_BDK = self.table(z_BZ).unflatten(1, (-1, self.num_classes))
        gamma_BCK, beta_BCK = table_BDK.chunk(2, dim=1)
        size = layout_BKHW.shape[2:]
        layout_BKN = layout_BKHW.flatten(2)
        return (gamma_BCK @ layout_BKN).unflatten(2, size), (beta_BCK @ layout_BKN).unflatten(2, size)


class _FoldedStyles(nn.Module):
    """`StyleModulation` with its kernel laid out for one matrix product, and the nine neighbours of a pixel gathered
    by one convolution: a fifth of the operators, and of the time that exporting takes (docs/export.md)."""

    def __init__(self, modulation: StyleModulation) -> None:
        super().__init__()
        self.layout, self.weight, self.bias = modulation.layout, modulation.weight, modulation.bias
        num_classes = modulation.weight.shape[0]
        kernel_DS9 = modulation.maps.weight.detach().flatten(2)
        self.kernel_S_D9 = nn.Parameter(kernel_DS9.transpose(0, 1).flatten(1).contiguous(), requires_grad=False)
        assert modulation.maps.bias is not None
        self.shift_D11 = nn.Parameter(modulation.maps.bias.detach()[:, None, None], requires_grad=False)
        self.register_buffer("taps", torch.eye(9).view(9, 1, 3, 3).repeat(num_classes, 1, 1, 1))

    def forward(self, layout_BKHW: Tensor, styles_BKS: Tensor) -> tuple[Tensor, Tensor]:
        """As `StyleModulation`."""
        num_classes, size = layout_BKHW.shape[1], layout_BKHW.shape[2:]
        made_KBS = torch.relu(torch.baddbmm(self.bias, styles_BKS.transpose(0, 1), self.weight))
        table_BKD9 = (made_KBS.transpose(0, 1) @ self.kernel_S_D9).unflatten(2, (-1, 9))  # type: ignore[no-untyped-call]
        table_BDT = table_BKD9.transpose(1, 2).flatten(2)
        taps_BTHW = functional.conv2d(layout_BKHW, self.get_buffer("taps"), padding=1, groups=num_classes)
        maps_BDHW = (table_BDT @ taps_BTHW.flatten(2)).unflatten(2, size) + self.shift_D11
        gamma_BCHW, beta_BCHW = self.layout(layout_BKHW, styles_BKS)
        of_styles = maps_BDHW.chunk(2, dim=1)
        return gamma_BCHW + of_styles[0], beta_BCHW + of_styles[1]
