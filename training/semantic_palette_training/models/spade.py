"""Normalisation that carries the layout into an image generator: SPADE and its class-adaptive relative.

Legend: B batch, K classes, C channels, H and W pixels, Z latent size.

Both replace the constant scale and offset of batch normalisation by maps computed from the layout:
    y = gamma(layout, z) * (x - mean) / std + beta(layout, z)
Mean and variance of a channel are those of the batch in training, as in SPADE's eqs. (2) and (3) (of one pass, where
a batch is accumulated over several), and constants, their running averages, in service: an image does not depend on
its company, and the constants fold into gamma and beta.
Per-sample statistics were tried and rejected: over the pixels of a channel (instance norm) they made the generator
plant a spike in a corner that sets the scale of everything else (the "droplets" of Karras et al., 2020), over the
channels of a pixel they drew bright contours where features change sign.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.models.layers import leaky_relu
from semantic_palette_training.models.spectral_norm import spectral_norm

NormName = Literal["spade", "class_adaptive"]

STATISTICS_MOMENTUM = 0.02
"""Weight of a training batch in the running statistics: an average over about fifty steps."""


def one_hot(labels_BHW: Tensor, num_classes: int) -> Tensor:
    """Class ids (any integer type) as float32 [B, K, H, W]. An id outside 0..K-1 becomes a column of zeros."""
    classes_K = torch.arange(num_classes, device=labels_BHW.device)
    return (labels_BHW.long().unsqueeze(1) == classes_K.view(1, -1, 1, 1)).float()


def layout_pyramid(layout_BKHW: Tensor, num_levels: int) -> list[Tensor]:
    """The layout at `num_levels` resolutions, coarsest first, each half the size of the next.

    A coarse cell holds the class shares of the pixels it covers: averaging keeps poles and pedestrians that
    nearest-neighbour sampling would lose, and for hard labels at the finest level it is exactly the one-hot map.
    """
    pyramid = [layout_BKHW]
    for _ in range(num_levels - 1):
        pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
    return pyramid[::-1]


def sampled_layout(layout_BKHW: Tensor, stride: int) -> Tensor:
    """The layout at 1 / `stride` of its size by nearest neighbour at cell centres, as SPADE resizes it (section 3)."""
    return layout_BKHW[:, :, stride // 2 :: stride, stride // 2 :: stride]


class ClassAdaptiveModulation(nn.Module):
    """Gamma and beta looked up by class id (Tan et al., 2020), in a table that depends on the latent vector.

    Where a cell holds several classes the entries mix by their shares. The table of a sample is linear in z, so that
    every class has its own directions of appearance. Costs K multiplications an output value, against several
    hundred for SPADE.
    """

    def __init__(self, channels: int, num_classes: int, latent_size: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.table = nn.Linear(latent_size, 2 * channels * num_classes)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.table.bias, std=0.1)
        # Entries are ordered gamma then beta, class fastest; gamma starts around one.
        self.table.bias.data[: channels * num_classes] += 1.0

    def forward(self, layout_BKHW: Tensor, z_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """Gamma and beta, each [B, C, H, W]."""
        table_BDK = self.table(z_BZ).unflatten(1, (-1, self.num_classes))
        shares_BNK = layout_BKHW.flatten(2).transpose(1, 2)
        maps_BND = shares_BNK @ table_BDK.transpose(1, 2)
        maps_BDHW = maps_BND.transpose(1, 2).unflatten(2, layout_BKHW.shape[2:])
        gamma_BCHW, beta_BCHW = maps_BDHW.chunk(2, dim=1)
        return gamma_BCHW, beta_BCHW


class SpadeModulation(nn.Module):
    """Gamma and beta from two convolutions over the layout (Park et al., 2019, section 3), offset by the latent.

    Without a latent (`latent_size` 0) this is SPADE as published; `style` is None then. The gamma of the published
    code is one plus its convolution's output; here that one is the initial bias.
    """

    def __init__(self, channels: int, num_classes: int, latent_size: int, hidden: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(num_classes, hidden, 3, padding=1)
        self.maps = nn.Conv2d(hidden, 2 * channels, 3, padding=1)
        self.style = nn.Linear(latent_size, 2 * channels, bias=False) if latent_size else None
        if self.style is not None:
            nn.init.normal_(self.style.weight, std=0.05)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]
        self.maps.bias.data[:channels] += 1.0  # type: ignore[union-attr]

    def forward(self, layout_BKHW: Tensor, z_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """Gamma and beta, each [B, C, H, W]."""
        maps_BDHW = self.maps(functional.relu(self.shared(layout_BKHW)))
        if self.style is not None:
            maps_BDHW = maps_BDHW + self.style(z_BZ)[:, :, None, None]
        gamma_BCHW, beta_BCHW = maps_BDHW.chunk(2, dim=1)
        return gamma_BCHW, beta_BCHW


class LayoutNorm(nn.Module):
    """Batch normalisation modulated by the layout and the latent vector."""

    def __init__(self, channels: int, num_classes: int, latent_size: int, norm: NormName, spade_hidden: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, momentum=STATISTICS_MOMENTUM, affine=False)
        self.modulation: nn.Module
        if norm == "spade":
            self.modulation = SpadeModulation(channels, num_classes, latent_size, spade_hidden)
        else:
            self.modulation = ClassAdaptiveModulation(channels, num_classes, latent_size)

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, z_BZ: Tensor) -> Tensor:
        """Normalise and modulate; same shape as `x_BCHW`. `z_BZ` has no columns where there is no latent."""
        gamma_BCHW, beta_BCHW = self.modulation(layout_BKHW, z_BZ)
        return torch.addcmul(beta_BCHW, self.normalise(x_BCHW), gamma_BCHW)


class SpadeBlock(nn.Module):
    """The residual block of GauGAN (Park et al., 2019, fig. 4 left): modulated normalisation, leaky ReLU, convolution,
    twice; where the channels change, the shortcut is normalised and convolved as well. Convolutions are spectrally
    normalised.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        make_norm: builds the normalisation of a number of channels; called with (x_BCHW, layout_BKHW, code), with the
            layout at the size of x.
    """

    def __init__(self, in_channels: int, out_channels: int, make_norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.norm_0 = make_norm(in_channels)
        self.conv_0 = spectral_norm(nn.Conv2d(in_channels, middle, 3, padding=1))
        self.norm_1 = make_norm(middle)
        self.conv_1 = spectral_norm(nn.Conv2d(middle, out_channels, 3, padding=1))
        self.norm_s: nn.Module | None = None
        if in_channels != out_channels:
            self.norm_s = make_norm(in_channels)
            self.conv_s = spectral_norm(nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """New features [B, out_channels, H, W]."""
        h_BCHW = self.conv_0(leaky_relu(self.norm_0(x_BCHW, layout_BKHW, code)))
        h_BCHW = self.conv_1(leaky_relu(self.norm_1(h_BCHW, layout_BKHW, code)))
        if self.norm_s is not None:
            x_BCHW = self.conv_s(self.norm_s(x_BCHW, layout_BKHW, code))
        new_BCHW: Tensor = x_BCHW + h_BCHW
        return new_BCHW
