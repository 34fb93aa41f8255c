"""Our image generator: a label map and a latent vector to a photo-like image, from small to full size.

Legend: B batch, K classes, C channels, H and W pixels, Z latent size.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.layers import LEAKY_SLOPE, EqualisedConv2d, leaky_relu
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.spade import LayoutNorm, NormName, layout_pyramid
from semantic_palette_training.scene_shape import SceneShape

RGB_GAIN = 4.0
"""Speed at which the RGB outputs learn, in units of the equalised learning rate."""


@dataclass(kw_only=True, slots=True)
class PyramidConfig:
    """Shape of a pyramid generator."""

    name: Literal["pyramid"] = "pyramid"
    latent_size: int = 16
    """Components of the latent vector, which decides the appearance."""
    widths: tuple[int, ...] = (128, 128, 128, 80, 48, 16)
    """Channels of each level, coarsest first; every level doubles the resolution and the last has the full one."""
    norm: NormName = "class_adaptive"
    """How the layout modulates: `spade` (convolutions over it) or `class_adaptive` (a table by class; much cheaper)."""
    spade_hidden: int = 64
    """Hidden channels of a SPADE modulation; only read where `norm` is `spade`."""


class Level(nn.Module):
    """One resolution: a residual block and its RGB output, a layout-modulated normalisation before each convolution."""

    def __init__(self, channels: int, config: PyramidConfig, num_classes: int) -> None:
        super().__init__()
        shape = (channels, num_classes, config.latent_size, config.norm, config.spade_hidden)
        self.norm_0 = LayoutNorm(*shape)
        self.conv_0 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm_1 = LayoutNorm(*shape)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_rgb = LayoutNorm(*shape)
        # Equalised, for the only weights behind which no normalisation follows: Adam's first steps would saturate them.
        self.to_rgb = EqualisedConv2d(channels, 3, 3, gain=RGB_GAIN)
        for convolution in (self.conv_0, self.conv_1):
            nn.init.kaiming_normal_(convolution.weight, LEAKY_SLOPE)
        nn.init.zeros_(self.to_rgb.weight)

    def forward(self, x_BCHW: Tensor, layout_BKHW: Tensor, z_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """New features [B, C, H, W] and this level's part of the image [B, 3, H, W]."""
        h_BCHW = self.conv_0(leaky_relu(self.norm_0(x_BCHW, layout_BKHW, z_BZ)))
        x_BCHW = x_BCHW + self.conv_1(leaky_relu(self.norm_1(h_BCHW, layout_BKHW, z_BZ)))
        return x_BCHW, self.to_rgb(leaky_relu(self.norm_rgb(x_BCHW, layout_BKHW, z_BZ)))


class PyramidGenerator(LayoutToImage):
    """A pyramid of residual blocks whose RGB outputs add up.

    Every level doubles the resolution and adds a correction to the upsampled image of the level before, so the
    leading levels alone make a smaller image: training starts there and a new level, whose RGB output starts at
    zero, changes nothing of what has been learned. Channels are reduced before upsampling, where it is 4x cheaper.
    """

    grows: ClassVar[bool] = True

    def __init__(self, config: PyramidConfig, shape: SceneShape) -> None:
        super().__init__(shape)
        scale = 2 ** (len(config.widths) - 1)
        if shape.height % scale or shape.width % scale:
            raise InvalidInputError(
                "image.generator.widths",
                config.widths,
                f"{shape.height}x{shape.width} must be a multiple of 2^(levels-1)",
            )
        self.config = config
        self.latent_size = config.latent_size
        self.register_buffer("position_1PHW", _positions(shape.height // scale, shape.width // scale), False)
        widths = config.widths
        self.stem = nn.Conv2d(shape.num_classes + config.latent_size + 2, widths[0], 3, padding=1)
        self.reduce = nn.ModuleList(nn.Conv2d(c, d, 1) for c, d in pairwise(widths))
        self.levels = nn.ModuleList(Level(channels, config, shape.num_classes) for channels in widths)

    def from_layout(self, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """Images of a layout of the full size, or of that size halved a number of times; see the base class."""
        pyramid = layout_pyramid(layout_BKHW, self._num_levels(layout_BKHW))
        x_BCHW = self._bottom(pyramid[0], code)
        rgb_B3HW = torch.zeros_like(pyramid[0][:, :3])
        for level, layout in enumerate(pyramid):
            if level > 0:
                x_BCHW = functional.interpolate(self.reduce[level - 1](x_BCHW), scale_factor=2.0, mode="nearest")
                rgb_B3HW = functional.interpolate(rgb_B3HW, scale_factor=2.0, mode="bilinear", align_corners=False)
            x_BCHW, correction_B3HW = self.levels[level](x_BCHW, layout, code)
            rgb_B3HW = rgb_B3HW + correction_B3HW
        # A bounded output would have no gradient where it is most wrong, so only finished images are cut to range.
        return rgb_B3HW.float() if self.training else rgb_B3HW.float().clamp(-1.0, 1.0)

    def _num_levels(self, layout_BKHW: Tensor) -> int:
        """How many of the levels make an image of this size."""
        height, width = layout_BKHW.shape[2:]
        for halvings in range(len(self.config.widths)):
            if (height << halvings, width << halvings) == (self.shape.height, self.shape.width):
                return len(self.config.widths) - halvings
        raise InvalidInputError(
            "labels", (height, width), f"{self.shape.height}x{self.shape.width}, or that halved, is expected"
        )

    def _bottom(self, layout_BKHW: Tensor, z_BZ: Tensor) -> Tensor:
        """Features of the coarsest level: class shares, the latent everywhere, and where in the image a cell is."""
        batch, _, height, width = layout_BKHW.shape
        z_BZHW = z_BZ[:, :, None, None].expand(-1, -1, height, width)
        position_BPHW = self.get_buffer("position_1PHW").expand(batch, -1, -1, -1)
        stem: Tensor = self.stem(torch.cat([layout_BKHW, z_BZHW, position_BPHW], dim=1))
        return stem


def _positions(height: int, width: int) -> Tensor:
    """Row and column of every cell, from -1 to 1, float32 [1, 2, height, width]."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([rows, columns]).unsqueeze(0)
