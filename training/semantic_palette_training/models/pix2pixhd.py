"""The global generator of pix2pixHD (Wang et al., 2018, section 3.1): the image generator of PGAN-CGAN.

Legend: B batch, K classes, C channels, H and W pixels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.instance_norm import InstanceNorm
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.scene_shape import SceneShape


@dataclass(kw_only=True, slots=True)
class Pix2PixHDConfig:
    """Shape of a pix2pixHD global generator."""

    name: Literal["pix2pixhd"] = "pix2pixhd"
    width: int = 64
    """Channels at full resolution; every halving doubles them."""
    halvings: int = 4
    """How often the resolution halves before the residual blocks."""
    blocks: int = 9
    """Residual blocks at the lowest resolution."""


class Pix2PixHDGenerator(LayoutToImage):
    """An encoder, residual blocks and a decoder; in the paper's notation c7s1-64, d128 to d1024, nine R1024, u512 to
    u64, c7s1-3 (its supplement). Instance normalisation, so a sample does not depend on the batch. The layout alone
    decides the image. The local enhancer is for sizes beyond 512x1024 and is left out, as PGAN-CGAN does.

    Raises:
        InvalidInputError: the size does not halve `halvings` times to at least two rows and columns, which the
            residual blocks' reflected borders need.
    """

    def __init__(self, config: Pix2PixHDConfig, shape: SceneShape) -> None:
        super().__init__(shape)
        self.config = config
        scale = 2**config.halvings
        if shape.height % scale or shape.width % scale or min(shape.height, shape.width) < 2 * scale:
            raise InvalidInputError(
                "image.generator.halvings",
                config.halvings,
                f"{shape.height}x{shape.width} must be a multiple of {scale} and at least twice that",
            )
        widths = [config.width * 2**level for level in range(config.halvings + 1)]
        first = nn.Conv2d(shape.num_classes, widths[0], 7)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), first, *_normalised(widths[0])]
        for channels in widths[:-1]:
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), *_normalised(2 * channels)]
        layers += [ResidualBlock(widths[-1]) for _ in range(config.blocks)]
        for channels in reversed(widths[:-1]):
            up = nn.ConvTranspose2d(2 * channels, channels, 3, stride=2, padding=1, output_padding=1)
            layers += [up, *_normalised(channels)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(widths[0], 3, 7))
        self.apply(_small_normal)

    def from_layout(self, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """Images of a layout of the full size; `code` has no components. See the base class."""
        self.check_size(layout_BKHW)
        return torch.tanh(self.layers(layout_BKHW).float())


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation; borders are reflected."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            *_normalised(channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """New features, same shape."""
        change_BCHW: Tensor = self.layers(x_BCHW)
        return x_BCHW + change_BCHW


def _normalised(channels: int) -> list[nn.Module]:
    return [InstanceNorm(channels), nn.ReLU()]


def _small_normal(module: nn.Module) -> None:
    """Weights N(0, 0.02), as the paper's supplement has them."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.02)
