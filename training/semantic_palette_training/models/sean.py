"""SEAN (Zhu et al., 2020): GauGAN whose normalisation also carries a style vector for every class.

Legend: B batch, K classes, S style size, C channels, D = 2 C, H and W pixels, N = H * W.

A style encoder turns an image into features, and averages them over the region of each class: the class's style. In
every block but the last a dense layer a class makes of them the styles of that block; painted into the regions and
convolved they give a second pair gamma and beta, blended with SPADE's by learned weights (eqs. 2 and 3). Editing a
layout so keeps the look of every class. The paper's per-pixel noise is left out: an image is a function of its layout
and styles alone.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.models.gaugan import MakeNorm, SpadeTrunk, spade_norm
from semantic_palette_training.models.instance_norm import InstanceNorm
from semantic_palette_training.models.layers import LEAKY_SLOPE
from semantic_palette_training.models.spade import STATISTICS_MOMENTUM, SpadeModulation, sampled_layout
from semantic_palette_training.scene_shape import SceneShape


@dataclass(kw_only=True, slots=True)
class SeanConfig:
    """Shape of a SEAN generator and its style encoder."""

    name: Literal["sean"] = "sean"
    width: int = 64
    """Channels of the last block; the first has 16 times as many."""
    hidden: int = 128
    """Hidden channels of every SPADE modulation."""
    style_size: int = 512
    """Components of a class's style."""
    encoder_width: int = 32
    """Channels of the style encoder's first layer."""
    doublings: int | None = None
    """As in `GauganConfig`."""


class StyleEncoder(nn.Module):
    """An image to features at half its resolution, within [-1, 1] (section 3.1 and supplement): convolution, two
    halvings, one doubling, convolution. Instance normalisation, so a sample does not depend on the batch."""

    def __init__(self, width: int, style_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_encoded(nn.Conv2d(3, width, 3, padding=1)),
            *_encoded(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)),
            *_encoded(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)),
            *_encoded(nn.ConvTranspose2d(4 * width, 8 * width, 3, stride=2, padding=1, output_padding=1)),
            nn.Conv2d(8 * width, style_size, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Features [B, S, H / 2, W / 2]; H and W are multiples of 4."""
        features: Tensor = self.layers(image_B3HW)
        return features


class StyleModulation(nn.Module):
    """Gamma and beta of styles and layout, blended (eqs. 2 and 3)."""

    def __init__(self, channels: int, num_classes: int, style_size: int, hidden: int) -> None:
        super().__init__()
        self.layout = SpadeModulation(channels, num_classes, 0, hidden)
        self.weight = nn.Parameter(torch.empty(num_classes, style_size, style_size))
        self.bias = nn.Parameter(torch.zeros(num_classes, 1, style_size))
        # As in a dense layer; xavier on the stack would take the classes for part of its fan.
        nn.init.normal_(self.weight, std=style_size**-0.5)
        self.maps = nn.Conv2d(style_size, 2 * channels, 3, padding=1)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]
        self.maps.bias.data[:channels] += 1.0  # type: ignore[union-attr]
        self.blend = nn.Parameter(torch.zeros(2))
        """Logits of the styles' share in gamma and in beta: they start as equals."""

    def forward(self, layout_BKHW: Tensor, styles_BKS: Tensor) -> tuple[Tensor, Tensor]:
        """Gamma and beta, each [B, C, H, W]."""
        of_layout = self.layout(layout_BKHW, styles_BKS)
        of_styles = style_maps(layout_BKHW, self.block_styles(styles_BKS), self.maps).chunk(2, dim=1)
        share_gamma, share_beta = torch.sigmoid(self.blend)
        return (
            torch.lerp(of_layout[0], of_styles[0], share_gamma.to(of_layout[0].dtype)),
            torch.lerp(of_layout[1], of_styles[1], share_beta.to(of_layout[1].dtype)),
        )

    def block_styles(self, styles_BKS: Tensor) -> Tensor:
        """A dense layer a class, then ReLU, all classes at once; float [B, K, S]."""
        made_KBS = torch.baddbmm(self.bias, styles_BKS.transpose(0, 1), self.weight)
        return functional.relu(made_KBS).transpose(0, 1)


class StyledNorm(nn.Module):
    """Batch normalisation modulated by layout and styles."""

    def __init__(self, channels: int, num_classes: int, style_size: int, hidden: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, momentum=STATISTICS_MOMENTUM, affine=False)
        self.modulation = StyleModulation(channels, num_classes, style_size, hidden)

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, styles_BKS: Tensor) -> Tensor:
        """Normalise and modulate; same shape as `x_BCHW`."""
        gamma_BCHW, beta_BCHW = self.modulation(layout_BKHW, styles_BKS)
        return torch.addcmul(beta_BCHW, self.normalise(x_BCHW), gamma_BCHW)


class SeanGenerator(SpadeTrunk):
    """GauGAN's trunk with styled normalisation in all blocks but the last, and the style encoder."""

    def __init__(self, config: SeanConfig, shape: SceneShape) -> None:
        styled = _styled_norm(shape, config)
        norms = [styled] * 6 + [spade_norm(shape, config.hidden)]
        super().__init__(config.width, config.doublings, norms, shape)
        self.config = config
        self.style_size = config.style_size
        self.encoder = StyleEncoder(config.encoder_width, config.style_size)

    def encode(self, image_B3HW: Tensor, layout_BKHW: Tensor) -> Tensor:
        """The styles of images, float32 [B, K, S]; zeros for classes that a layout does not have.

        Args:
            image_B3HW: float32 in [-1, 1].
            layout_BKHW: soft or one-hot, float32, at the size of the image.
        """
        return region_means(self.encoder(image_B3HW).float(), sampled_layout(layout_BKHW, 2))


def region_means(features_BSHW: Tensor, layout_BKHW: Tensor) -> Tensor:
    """Mean of the features over the pixels of each class, weighted by its share of them; [B, K, S].

    A class without pixels has zeros.
    """
    sums_BKS = layout_BKHW.flatten(2) @ features_BSHW.flatten(2).transpose(1, 2)
    areas_BK1 = layout_BKHW.sum(dim=(2, 3)).unsqueeze(2)
    # A soft layout's smallest areas are far below one pixel; only exact zero must not be divided by.
    means_BKS: Tensor = sums_BKS / areas_BK1.clamp_min(1e-6)
    return means_BKS


def style_maps(layout_BKHW: Tensor, styles_BKS: Tensor, convolution: nn.Conv2d) -> Tensor:
    """What a 3x3 convolution with padding 1 makes of the styles painted into the layout's regions, [B, D, H, W].

    Painting, S = K-vector times layout, and convolving are both linear, so the kernel is applied to the styles first:
    a pixel then costs 9 K multiplications an output instead of 9 S, and the painted map of S channels never exists.
    """
    batch, num_classes, height, width = layout_BKHW.shape
    padded = functional.pad(layout_BKHW, (1, 1, 1, 1))
    taps = [padded[:, :, i : i + height, j : j + width].flatten(2) for i in range(3) for j in range(3)]
    kernel_S_D9 = convolution.weight.permute(1, 0, 2, 3).flatten(1)
    table_BKD9 = (styles_BKS @ kernel_S_D9).reshape(batch, num_classes, -1, 9)
    table_BDN = table_BKD9.permute(0, 2, 3, 1).flatten(2)
    maps_BDN: Tensor = table_BDN @ torch.cat(taps, dim=1).to(table_BDN.dtype)
    if convolution.bias is not None:
        maps_BDN = maps_BDN + convolution.bias[:, None].to(maps_BDN.dtype)
    return maps_BDN.reshape(batch, -1, height, width)


def _styled_norm(shape: SceneShape, config: SeanConfig) -> MakeNorm:
    return lambda channels: StyledNorm(channels, shape.num_classes, config.style_size, config.hidden)


def _encoded(convolution: nn.Module) -> list[nn.Module]:
    channels: int = convolution.out_channels  # type: ignore[assignment]
    return [convolution, InstanceNorm(channels), nn.LeakyReLU(LEAKY_SLOPE)]
