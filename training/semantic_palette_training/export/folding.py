"""Networks in the form that runs fastest: what does not change after training is computed once, before export.

Parity is measured against the networks as trained, so a wrong fold cannot ship.

Shape suffixes: B batch, Z latent, K classes, C channels, H and W pixels, N = H * W.
"""

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear
from semantic_palette_training.models.spade import EPSILON, ClassAdaptiveModulation, LayoutNorm

Network = TypeVar("Network", bound=nn.Module)
Plain = TypeVar("Plain", nn.Conv2d, nn.Linear)


def fold(network: Network) -> Network:
    """A copy of `network` that computes the same function in evaluation mode with fewer operations.

    Parametrisations (spectral norm) and run-time weight scales become plain weights; class-adaptive modulation becomes
    two matrix products that neither transpose nor split full-size maps; normalisation keeps the channels first.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for child in folded.modules():
        if parametrize.is_parametrized(child):
            for name in list(cast(nn.ModuleDict, child.parametrizations)):
                parametrize.remove_parametrizations(child, name, leave_parametrized=True)
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
    """`LayoutNorm` without moving the channels last and back, which costs engines two copies of every map."""

    def __init__(self, norm: LayoutNorm) -> None:
        super().__init__()
        modulation = norm.modulation
        self.modulation = _FoldedTable(modulation) if isinstance(modulation, ClassAdaptiveModulation) else modulation

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, z_BZ: Tensor) -> Tensor:
        """As `LayoutNorm`."""
        gamma_BCHW, beta_BCHW = self.modulation(layout_BKHW, z_BZ)
        centred_BCHW = x_BCHW - x_BCHW.mean(dim=1, keepdim=True)
        variance_B1HW = centred_BCHW.square().mean(dim=1, keepdim=True)
        scaled_BCHW: Tensor = centred_BCHW * torch.rsqrt(variance_B1HW + EPSILON) * gamma_BCHW + beta_BCHW
        return scaled_BCHW


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
