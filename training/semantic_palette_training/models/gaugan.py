"""GauGAN's generator (Park et al., 2019): the layout enters through the normalisation of every block.

Legend: B batch, K classes, C channels, H and W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.layers import leaky_relu
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.spade import LayoutNorm, SpadeBlock, sampled_layout
from semantic_palette_training.scene_shape import SceneShape

#: Channels before and after each of the seven blocks, in units of the width (Park et al., 2019, fig. 14).
CHANNEL_FACTORS = (16, 16, 16, 16, 8, 4, 2, 1)
#: The gaps between blocks in the order in which they get a doubling. Six doublings fill all; the five of the published
#: "normal" setting leave out the one between the second and the third block.
_GAP_ORDER = (5, 4, 3, 2, 0, 1)

MakeNorm = Callable[[int], nn.Module]


@dataclass(kw_only=True, slots=True)
class GauganConfig:
    """Shape of a GauGAN generator."""

    name: Literal["gaugan"] = "gaugan"
    width: int = 64
    """Channels of the last block; the first has 16 times as many."""
    hidden: int = 128
    """Hidden channels of every SPADE modulation."""
    doublings: int | None = None
    """How often the resolution doubles between blocks: 6 for streets, 5 for faces in the published code. Not given: as
    often as leaves the first block at least two rows and columns, at most 6."""


class SpadeTrunk(LayoutToImage):
    """Seven residual blocks from a coarse layout to an image, shared by GauGAN and SEAN.

    Args:
        width: channels of the last block.
        doublings: see `GauganConfig`.
        norms: builds the normalisations of each of the seven blocks.
        shape: of the scenes.

    Raises:
        InvalidInputError: `doublings` is out of range or does not fit the size.
    """

    def __init__(self, width: int, doublings: int | None, norms: Sequence[MakeNorm], shape: SceneShape) -> None:
        super().__init__(shape)
        self.strides = block_strides(doublings, shape)
        channels = [factor * width for factor in CHANNEL_FACTORS]
        self.stem = nn.Conv2d(shape.num_classes, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            SpadeBlock(c, d, make_norm) for (c, d), make_norm in zip(pairwise(channels), norms, strict=True)
        )
        self.to_rgb = nn.Conv2d(width, 3, 3, padding=1)
        self.apply(_glorot)

    def from_layout(self, layout_BKHW: Tensor, code: Tensor) -> Tensor:
        """Images of a layout of the full size; see the base class."""
        self.check_size(layout_BKHW)
        x_BCHW = self.stem(sampled_layout(layout_BKHW, self.strides[0]))
        previous = self.strides[0]
        for stride, block in zip(self.strides, self.blocks, strict=True):
            if stride != previous:
                x_BCHW = functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
            x_BCHW = block(x_BCHW, sampled_layout(layout_BKHW, stride), code)
            previous = stride
        return torch.tanh(self.to_rgb(leaky_relu(x_BCHW)).float())


class GauganGenerator(SpadeTrunk):
    """GauGAN without its image encoder, as the paper uses it: the layout alone decides the image."""

    def __init__(self, config: GauganConfig, shape: SceneShape) -> None:
        make_norm = spade_norm(shape, config.hidden)
        super().__init__(config.width, config.doublings, [make_norm] * 7, shape)
        self.config = config


def spade_norm(shape: SceneShape, hidden: int) -> MakeNorm:
    """Builds SPADE as published: batch statistics, modulated by the layout alone."""
    return lambda channels: LayoutNorm(channels, shape.num_classes, 0, "spade", hidden)


def block_strides(doublings: int | None, shape: SceneShape) -> list[int]:
    """Pixels of the image that one cell of each block stands for, along each axis, seven numbers."""
    if doublings is None:
        doublings = min(6, min(shape.height, shape.width).bit_length() - 2)
    if not 0 <= doublings <= 6:
        raise InvalidInputError("image.generator.doublings", doublings, "0 to 6")
    scale = 2**doublings
    if shape.height % scale or shape.width % scale:
        raise InvalidInputError(
            "image.generator.doublings", doublings, f"{shape.height}x{shape.width} is not a multiple of {scale}"
        )
    doubled = sorted(_GAP_ORDER[:doublings])
    return [2 ** sum(gap >= block for gap in doubled) for block in range(7)]


def _glorot(module: nn.Module) -> None:
    """Glorot's initialisation (Park et al., 2019, section 4). What is spectrally normalised has no scale to choose."""
    if isinstance(module, nn.Conv2d) and not parametrize.is_parametrized(module):
        nn.init.xavier_normal_(module.weight)
