"""Progressive layout generator and discriminator (Figure 2), one block a resolution.

Shape suffixes: B batch, Z latent, K classes, E code, C channels, H and W pixels. Level l has 2^l times the base
resolution.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_at_least
from semantic_palette_training.models.layers import (
    EqualisedConv2d,
    EqualisedLinear,
    average_pool,
    leaky_relu,
    pixel_norm,
)
from semantic_palette_training.models.progressive_blocks import BaseBlock, DownBlock, UpBlock, append_batch_deviation
from semantic_palette_training.models.saa import SaaOutput, balanced_scores, log_omega, pixel_softmax, saa
from semantic_palette_training.precision import at_least_float32
from semantic_palette_training.scene_shape import SceneShape

#: Channels that a conditional discriminator's code takes of its input.
_CODE_SIZE = 8


@dataclass(kw_only=True, slots=True)
class ProgressiveConfig:
    """Size and wiring of the layout networks; the defaults are the paper's at 128x256."""

    latent_size: int = 512
    """Length of the noise vector z."""
    widths: tuple[int, ...] = (512, 512, 512, 512, 256, 128)
    """Channels of each level; as many levels as widths, each of twice the size of the one before."""
    base_height: int = 4
    """Height of level 0 in pixels."""
    base_width: int = 8
    """Width of level 0 in pixels, a multiple of its height."""
    conditioning: Literal["saa", "input", "none"] = "saa"
    """saa (the paper): the palette goes into the input and into SAA at every level. input: into the input alone, and
    layouts come from a softmax over classes (baselines 1 and 2). none: there is no palette (SB-GAN, PGAN-CGAN)."""
    sinkhorn_steps: int = 1
    """Sweeps of SAA (appendix A): 1 is the paper's, more follow the palette more closely."""
    temperature: float = 1.0
    """What SAA divides scores by."""
    fusion: bool = True
    """Residual conditional fusion: each level's soft layout is mapped back to features and added before upsampling."""
    fusion_kernel: int = 1
    """Kernel side of the fusion convolution; the paper has 1, its public code 3."""
    scores: Literal["independent", "skip"] = "independent"
    """independent (the paper): every level maps its own features to scores. skip (ours): a level adds to the upsampled
    scores of the level below, from zero, so that growing a level changes nothing until it learns."""
    discriminator_conditioning: bool = False
    """Show the discriminator a code of the palette beside the layout (baseline 2)."""
    batch_deviation: bool = False
    """Give the discriminator the deviation over its batch as a feature (Karras et al., 2018), against collapse of the
    generator to one layout a palette. The paper's code goes without."""

    @property
    def num_levels(self) -> int:
        """How many resolutions there are."""
        return len(self.widths)

    def resolution(self, level: int) -> tuple[int, int]:
        """Height and width of a level in pixels."""
        return self.base_height << level, self.base_width << level

    def check(self, shape: SceneShape) -> None:
        """Raise an InvalidInputError that names the field when a value is out of range or the last level is not of
        `shape`'s size."""
        for name, lowest in (("latent_size", 1), ("base_height", 1), ("sinkhorn_steps", 1)):
            require_at_least(f"layout.generator.{name}", getattr(self, name), lowest)
        if not self.widths or min(self.widths) < 1:
            raise InvalidInputError("layout.generator.widths", self.widths, "a width of at least 1 for every level")
        if self.base_width < 1 or self.base_width % self.base_height:
            raise InvalidInputError("layout.generator.base_width", self.base_width, f"a multiple of {self.base_height}")
        if self.temperature <= 0:
            raise InvalidInputError("layout.generator.temperature", self.temperature, "above 0")
        if self.fusion_kernel not in (1, 3):
            raise InvalidInputError("layout.generator.fusion_kernel", self.fusion_kernel, "1 or 3")
        if self.conditioning != "saa" and (self.sinkhorn_steps, self.temperature) != (1, 1.0):
            raise InvalidInputError("layout.generator.conditioning", self.conditioning, "saa, for steps or temperature")
        if self.conditioning == "none" and self.discriminator_conditioning:
            raise InvalidInputError("layout.generator.conditioning", "none", "a palette for the discriminator's code")
        made = self.resolution(self.num_levels - 1)
        if made != (shape.height, shape.width):
            allowed = f"levels from {self.base_height}x{self.base_width} that end at {shape.height}x{shape.width}"
            raise InvalidInputError("layout.generator.widths", f"{made[0]}x{made[1]} at the last level", allowed)


class LayoutGenerator(nn.Module):
    """Noise and a palette to a soft layout at every level up to the active one.

    Raises:
        InvalidInputError: the config does not fit the scenes (`ProgressiveConfig.check`).
    """

    def __init__(self, config: ProgressiveConfig, shape: SceneShape) -> None:
        super().__init__()
        config.check(shape)
        self.config, self.shape = config, shape
        widths, classes = config.widths, shape.num_classes
        code_size = config.latent_size + (0 if config.conditioning == "none" else classes)
        self.base = BaseBlock(code_size, widths[0], config.base_height, config.base_width)
        self.blocks = nn.ModuleList(UpBlock(a, b) for a, b in itertools.pairwise(widths))
        self.to_mask = nn.ModuleList(EqualisedConv2d(w, classes, 1, gain=1.0) for w in widths)
        fused = widths[:-1] if config.fusion else ()
        self.fusion = nn.ModuleList(EqualisedConv2d(classes, w, config.fusion_kernel, gain=1.0) for w in fused)
        if config.scores == "skip":
            for head in list(self.to_mask)[1:]:
                nn.init.zeros_(head.weight)  # type: ignore[arg-type]

    def forward(self, z_BZ: Tensor, palette_BK: Tensor, level: int | None = None, fade: float = 1.0) -> list[SaaOutput]:
        """Soft layouts of levels 0 to `level` (default: the last), coarsest first.

        Args:
            z_BZ: standard normal noise, float32.
            palette_BK: class proportions, each row on the simplex, float32; unused without conditioning.
            level: the active level.
            fade: weight in [0, 1] of the active level against the upsampled scores of the level below.
        """
        x_BCHW = self._base_features(z_BZ, palette_BK)
        last = self.config.num_levels - 1 if level is None else level
        scores_BKHW = self.to_mask[0](x_BCHW)
        outputs = [self._soft(scores_BKHW, palette_BK)]
        for index in range(1, last + 1):
            x_BCHW = self._grow(index, x_BCHW, outputs[-1])
            scores_BKHW = self._combine(scores_BKHW, self.to_mask[index](x_BCHW), fade if index == last else 1.0)
            outputs.append(self._soft(scores_BKHW, palette_BK))
        return outputs

    def scores(self, z_BZ: Tensor, palette_BK: Tensor) -> Tensor:
        """Log-scores of the last level, float32 [B, K, H, W], whose arg-max over classes is the layout.

        Under SAA they are log omega, at most -1e9 or so where the share is 0; else what the softmax is taken of.
        """
        x_BCHW = self._base_features(z_BZ, palette_BK)
        scores_BKHW: Tensor = at_least_float32(self.to_mask[0](x_BCHW))
        for index in range(1, self.config.num_levels):
            output = self._soft(scores_BKHW, palette_BK) if self.config.fusion else None
            x_BCHW = self._grow(index, x_BCHW, output)
            scores_BKHW = self._combine(scores_BKHW, self.to_mask[index](x_BCHW), 1.0)
        if self.config.conditioning != "saa":
            return scores_BKHW
        steps, temperature = self.config.sinkhorn_steps, self.config.temperature
        balanced_BKHW = balanced_scores(scores_BKHW, palette_BK, sinkhorn_steps=steps, temperature=temperature)
        return log_omega(balanced_BKHW, palette_BK)

    def _soft(self, scores_BKHW: Tensor, palette_BK: Tensor) -> SaaOutput:
        if self.config.conditioning != "saa":
            return pixel_softmax(scores_BKHW)
        steps, temperature = self.config.sinkhorn_steps, self.config.temperature
        return saa(scores_BKHW, palette_BK, sinkhorn_steps=steps, temperature=temperature)

    def _base_features(self, z_BZ: Tensor, palette_BK: Tensor) -> Tensor:
        code_BF = pixel_norm(z_BZ)
        if self.config.conditioning != "none":
            code_BF = torch.cat([code_BF, palette_BK], dim=1)
        features: Tensor = self.base(code_BF)
        return features

    def _grow(self, level: int, x_BCHW: Tensor, below: SaaOutput | None) -> Tensor:
        """Features of `level` from those of the level below and what was made of it."""
        if self.config.fusion and below is not None:
            x_BCHW = x_BCHW + leaky_relu(self.fusion[level - 1](below.soft_BKHW.to(x_BCHW.dtype)))
        features: Tensor = self.blocks[level - 1](x_BCHW)
        return features

    def _combine(self, coarse_BKHW: Tensor, fine_BKHW: Tensor, fade: float) -> Tensor:
        """Scores of a level from those of the level below and its own."""
        fine_BKHW = at_least_float32(fine_BKHW)
        if self.config.scores == "independent" and fade >= 1.0:
            return fine_BKHW
        coarse_BKHW = at_least_float32(coarse_BKHW)
        upsampled = functional.interpolate(coarse_BKHW, scale_factor=2.0, mode="bilinear", align_corners=False)
        if self.config.scores == "skip":
            return upsampled + fade * fine_BKHW
        return torch.lerp(upsampled, fine_BKHW, fade)


class LayoutDiscriminator(nn.Module):
    """Soft layout at a level's resolution to a realism score; mirrors the generator's widths.

    Raises:
        InvalidInputError: the config does not fit the scenes (`ProgressiveConfig.check`).
    """

    def __init__(self, config: ProgressiveConfig, shape: SceneShape) -> None:
        super().__init__()
        config.check(shape)
        self.config = config
        widths, channels = config.widths, shape.num_classes
        if config.discriminator_conditioning:
            self.code = EqualisedLinear(shape.num_classes, _CODE_SIZE)
            channels += _CODE_SIZE
        self.from_mask = nn.ModuleList(EqualisedConv2d(channels, w, 1, gain=1.0) for w in widths)
        self.blocks = nn.ModuleList(DownBlock(b, a) for a, b in itertools.pairwise(widths))
        squeeze = (1, config.base_width // config.base_height)
        self.conv0 = EqualisedConv2d(widths[0] + config.batch_deviation, widths[0], 3, stride=squeeze)
        self.conv1 = EqualisedConv2d(widths[0], widths[0], config.base_height, padding=0)
        self.dense = EqualisedLinear(widths[0], 1, gain=1.0)

    def forward(self, layout_BKHW: Tensor, level: int, fade: float = 1.0, palette_BK: Tensor | None = None) -> Tensor:
        """Scores [B] of layouts at `level`'s resolution; `fade` as in the generator.

        Args:
            layout_BKHW: soft or one-hot layouts, float32.
            level: whose resolution they have.
            fade: weight in [0, 1] of the level against the layouts halved and judged by the level below.
            palette_BK: what the layouts were asked to be, for a conditional discriminator; others ignore it.
        """
        input_BCHW = self._with_code(layout_BKHW, palette_BK)
        x_BCHW = leaky_relu(self.from_mask[level](input_BCHW))
        for index in range(level, 0, -1):
            x_BCHW = self.blocks[index - 1](x_BCHW)
            if index == level and fade < 1.0:
                coarse_BCHW = leaky_relu(self.from_mask[level - 1](average_pool(input_BCHW)))
                x_BCHW = torch.lerp(coarse_BCHW, x_BCHW, fade)
        if self.config.batch_deviation:
            x_BCHW = append_batch_deviation(x_BCHW)
        x_BCHW = leaky_relu(self.conv0(x_BCHW))
        x_BC = leaky_relu(self.conv1(x_BCHW)).flatten(1)
        return self.dense(x_BC).squeeze(1)  # type: ignore[no-any-return]

    def _with_code(self, layout_BKHW: Tensor, palette_BK: Tensor | None) -> Tensor:
        """The layout with the code of the palette at every pixel, where this discriminator is conditional."""
        if not self.config.discriminator_conditioning:
            return layout_BKHW
        if palette_BK is None:
            raise ValueError("palette_BK: None; a conditional discriminator judges a layout by its palette")
        code_BEHW = self.code(palette_BK)[:, :, None, None].expand(-1, -1, *layout_BKHW.shape[2:])
        return torch.cat([layout_BKHW, code_BEHW.to(layout_BKHW.dtype)], dim=1)
