"""The partial editor: repaints a part of a layout to a palette and merges it with the rest (section 4.2, Figure 4).

Legend: B batch, Z latent, K classes, E = K + 1 classes with the background last, C channels, H and W pixels.
Level l has 2^l times the base resolution.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_at_least, require_sizes
from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear, leaky_relu, pixel_norm
from semantic_palette_training.models.saa import SaaOutput, saa
from semantic_palette_training.models.spade import LayoutNorm, SpadeBlock, one_hot, sampled_layout
from semantic_palette_training.precision import at_least_float32
from semantic_palette_training.scene_shape import SceneShape

BudgetName = Literal["region", "additions"]


@dataclass(kw_only=True, slots=True)
class EditorConfig:
    """Size and wiring of the partial editor; the defaults are the paper's at 128x256."""

    latent_size: int = 512
    """Length of the noise vector z."""
    widths: tuple[int, ...] = (512, 512, 512, 512, 256, 128)
    """Channels of each level, coarsest first; as many levels as widths, the last at the scenes' resolution."""
    spade_hidden: int = 128
    """Hidden channels of every SPADE modulation."""
    sinkhorn_steps: int = 1
    """Sweeps of SAA (appendix A): 1 is the paper's, more follow the palette more closely."""
    fusion: bool = True
    """Residual conditional fusion: each level's merged layout becomes features that are added before upsampling."""
    fusion_kernel: int = 1
    """Kernel side of the fusion convolution; the paper has 1, its public code 3."""
    scores: Literal["independent", "skip"] = "independent"
    """independent (the paper): every level maps its own features to scores. skip (ours): a level adds to the upsampled
    scores of the level below, from zero, so that growing a level changes nothing until it learns."""
    budget: BudgetName = "region"
    """What the palette is spent on. region (section 4.2): on an emptied part of the layout. additions (section 5.4):
    on what is to be added to a layout that is shown whole."""

    def check(self, shape: SceneShape) -> None:
        """Raise an InvalidInputError that names the field when a value is out of range or does not fit the size."""
        for name in ("latent_size", "spade_hidden", "sinkhorn_steps"):
            require_at_least(f"editor.generator.{name}", getattr(self, name), 1)
        require_sizes("editor.generator.widths", self.widths)
        if self.fusion_kernel not in (1, 3):
            raise InvalidInputError("editor.generator.fusion_kernel", self.fusion_kernel, "1 or 3")
        scale = 2 ** (len(self.widths) - 1)
        if shape.height % scale or shape.width % scale:
            allowed = f"as many levels as {shape.height}x{shape.width} can be halved, and one"
            raise InvalidInputError("editor.generator.widths", self.widths, allowed)


@dataclass(frozen=True, slots=True)
class EditorOutput:
    """What the editor makes at one level."""

    generated: SaaOutput
    """The generated layout over K + 1 classes, of which the last, the background, stands for what is kept."""
    merged_BKHW: Tensor
    """The generated layout over the input: a distribution over the K classes at every pixel, float32."""


def merge(generated_BEHW: Tensor, layout_BKHW: Tensor) -> Tensor:
    """The edited layout: what was generated, and the input as far as the background goes (section 4.2).

        m_out = m[:K] + m_background * input

    Sums to 1 over the classes where both arguments do.
    """
    return generated_BEHW[:, :-1] + generated_BEHW[:, -1:] * layout_BKHW


def empty_region(layout_BKHW: Tensor, region_BHW: Tensor) -> Tensor:
    """The layout with every class equally likely in the region, which marks it as to be filled (section 4.2)."""
    return torch.where(region_BHW[:, None] > 0, 1.0 / layout_BKHW.shape[1], layout_BKHW)


class _BaseBlock(nn.Module):
    """Noise, palette and layout to features at the base resolution."""

    def __init__(self, in_features: int, size: tuple[int, int, int], make_norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.size = size
        channels, height, width = size
        self.dense = EqualisedLinear(in_features, channels * height * width, gain=2**0.5 / 4)
        self.block = SpadeBlock(channels, channels, make_norm)

    def forward(self, code_BF: Tensor, layout_BKHW: Tensor) -> Tensor:
        features: Tensor = self.block(self.dense(code_BF).unflatten(1, self.size), layout_BKHW, code_BF[:, :0])
        return features


class LayoutEditor(nn.Module):
    """Noise, a layout and a palette to an edited layout at every level up to the active one.

    Args:
        config: size and wiring.
        shape: classes and resolution of the layouts.

    Raises:
        InvalidInputError: the config does not fit the scenes (`EditorConfig.check`).
    """

    def __init__(self, config: EditorConfig, shape: SceneShape) -> None:
        super().__init__()
        config.check(shape)
        self.config, self.shape = config, shape
        widths, classes = config.widths, shape.num_classes
        base = base_resolution(config, shape)
        code_size = config.latent_size + classes + 1
        make_norm = functools.partial(
            LayoutNorm, num_classes=classes, latent_size=0, norm="spade", spade_hidden=config.spade_hidden
        )
        self.base = _BaseBlock(code_size, (widths[0], *base), make_norm)
        self.blocks = nn.ModuleList(SpadeBlock(a, b, make_norm) for a, b in itertools.pairwise(widths))
        self.to_mask = nn.ModuleList(EqualisedConv2d(width, classes + 1, 1, gain=1.0) for width in widths)
        self.fusion = nn.ModuleList(
            EqualisedConv2d(classes, width, config.fusion_kernel, gain=1.0)
            for width in (widths[:-1] if config.fusion else ())
        )
        if config.scores == "skip":
            for head in list(self.to_mask)[1:]:
                nn.init.zeros_(head.weight)  # type: ignore[arg-type]

    @property
    def num_levels(self) -> int:
        """How many resolutions there are."""
        return len(self.config.widths)

    def forward(
        self, z_BZ: Tensor, layout_BKHW: Tensor, palette_BE: Tensor, level: int | None = None, fade: float = 1.0
    ) -> list[EditorOutput]:
        """Edited layouts of levels 0 to `level` (default: the last), coarsest first.

        Args:
            z_BZ: standard normal noise, float32.
            layout_BKHW: the input at `level`'s resolution, shares that sum to 1 at every pixel, float32; for the
                budget `region` emptied where it is to be filled (`empty_region`).
            palette_BE: shares of the frame that the generated classes and the background take, summing to 1, float32.
            level: the active level.
            fade: weight in [0, 1] of the active level against the upsampled scores of the level below.
        """
        last = self.num_levels - 1 if level is None else level
        # By nearest neighbour: averages would mix the mark of an emptied region with what surrounds it.
        layouts = [sampled_layout(layout_BKHW, 2 ** (last - index)) for index in range(last + 1)]
        x_BCHW = self.base(torch.cat([pixel_norm(z_BZ), palette_BE], dim=1), layouts[0])
        scores_BEHW = at_least_float32(self.to_mask[0](x_BCHW))
        outputs = [self._output(scores_BEHW, palette_BE, layouts[0])]
        for index in range(1, last + 1):
            x_BCHW = self._grow(index, x_BCHW, outputs[-1].merged_BKHW, layouts[index])
            scores_BEHW = self._combine(scores_BEHW, self.to_mask[index](x_BCHW), fade if index == last else 1.0)
            outputs.append(self._output(scores_BEHW, palette_BE, layouts[index]))
        return outputs

    def labels(self, z_BZ: Tensor, labels_BHW: Tensor, mask_BHW: Tensor, palette_BE: Tensor) -> Tensor:
        """The edited layout as class ids, uint8 [B, H, W]; outside the mask those of the input.

        Inside appear only classes with a share, and, for the budget `additions`, those that were there before.

        Args:
            z_BZ: standard normal noise, float32.
            labels_BHW: class ids of the layout to edit, uint8, at full size.
            mask_BHW: 1 where the layout may change, else 0, uint8.
            palette_BE: as in `forward`.
        """
        layout_BKHW = one_hot(labels_BHW, self.shape.num_classes)
        if self.config.budget == "region":
            layout_BKHW = empty_region(layout_BKHW, mask_BHW)
        merged_BKHW = self(z_BZ, layout_BKHW, palette_BE)[-1].merged_BKHW
        # In an emptied region a class without a share has what the background leaves to every class. It would win a
        # tie with classes whose own part is too small for float32 to add.
        possible_BKHW = (palette_BE[:, :-1, None, None] > 0) | (layout_BKHW == 1.0)
        edited_BHW = torch.where(possible_BKHW, merged_BKHW, -1.0).argmax(dim=1).to(torch.uint8)
        return torch.where(mask_BHW > 0, edited_BHW, labels_BHW)

    def _grow(self, level: int, x_BCHW: Tensor, merged_BKHW: Tensor, layout_BKHW: Tensor) -> Tensor:
        """Features of `level` from those of the level below, its merged layout and the input at this level."""
        if self.config.fusion:
            x_BCHW = x_BCHW + leaky_relu(self.fusion[level - 1](merged_BKHW.to(x_BCHW.dtype)))
        x_BCHW = functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
        features: Tensor = self.blocks[level - 1](x_BCHW, layout_BKHW, x_BCHW[:, :0])
        return features

    def _combine(self, coarse_BEHW: Tensor, fine_BEHW: Tensor, fade: float) -> Tensor:
        """Scores of a level from those of the level below and its own."""
        fine_BEHW = at_least_float32(fine_BEHW)
        if self.config.scores == "independent" and fade >= 1.0:
            return fine_BEHW
        upsampled = functional.interpolate(coarse_BEHW, scale_factor=2.0, mode="bilinear", align_corners=False)
        if self.config.scores == "skip":
            return upsampled + fade * fine_BEHW
        return torch.lerp(upsampled, fine_BEHW, fade)

    def _output(self, scores_BEHW: Tensor, palette_BE: Tensor, layout_BKHW: Tensor) -> EditorOutput:
        generated = saa(scores_BEHW, palette_BE, sinkhorn_steps=self.config.sinkhorn_steps)
        return EditorOutput(generated, merge(generated.soft_BKHW, layout_BKHW))


def generated_of(outputs: Sequence[EditorOutput]) -> list[SaaOutput]:
    """The generated layouts over K + 1 classes: what the conditional losses are taken of."""
    return [output.generated for output in outputs]


def base_resolution(config: EditorConfig, shape: SceneShape) -> tuple[int, int]:
    """Height and width of level 0 in pixels, of a config that fits the size (`EditorConfig.check`)."""
    scale = 2 ** (len(config.widths) - 1)
    return shape.height // scale, shape.width // scale
