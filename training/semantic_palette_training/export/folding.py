"""Networks in the form that runs fastest: what does not change after training is computed once, before export.

Parity is measured against the networks as trained, so a wrong fold cannot ship.

Shape suffixes: B batch, Z latent, K classes, C channels, H and W pixels, N = H * W.
"""

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear
from semantic_palette_training.models.spade import ClassAdaptiveModulation, LayoutNorm, SpadeModulation

Network = TypeVar("Network", bound=nn.Module)
Plain = TypeVar("Plain", nn.Conv2d, nn.Linear)


def fold(network: Network) -> Network:
    """A copy of `network` that computes the same function in evaluation mode with fewer operations.

    Run-time weight scales become plain weights; class-adaptive modulation becomes two matrix products that neither
    transpose nor split full-size maps; the statistics of normalisation go into what modulates it.
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
                setattr(module, name, _FoldedLayoutNorm(child))
            case _:
                _replace(child)


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


class _FoldedLayoutNorm(nn.Module):
    """`LayoutNorm` in evaluation mode: gamma * (x - mean) / std + beta with the statistics inside gamma and beta."""

    def __init__(self, norm: LayoutNorm) -> None:
        super().__init__()
        self.modulation: nn.Module
        match norm.modulation:
            case ClassAdaptiveModulation() as modulation:
                _absorb(norm.normalise, (modulation.table,), modulation.num_classes)
                self.modulation = _FoldedTable(modulation)
            case SpadeModulation() as modulation:
                _absorb(norm.normalise, (modulation.maps, modulation.style), 1)
                self.modulation = modulation

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, z_BZ: Tensor) -> Tensor:
        """As `LayoutNorm`."""
        gamma_BCHW, beta_BCHW = self.modulation(layout_BKHW, z_BZ)
        return torch.addcmul(beta_BCHW, x_BCHW, gamma_BCHW)


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
