"""Progressive layout generator and discriminator (Figure 2), one block a resolution.

Shape suffixes: B batch, Z latent, K classes, C channels, H and W pixels. Level l has 2^l times the base resolution.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.models.layers import EqualisedConv2d, EqualisedLinear, leaky_relu, pixel_norm
from semantic_palette_training.models.saa import SaaOutput, saa


@dataclass(kw_only=True, slots=True)
class LayoutGeneratorConfig:
    """Size and wiring of the layout generator."""

    num_classes: int
    """Classes of the label space."""
    latent_size: int = 64
    """Length of the noise vector z."""
    widths: tuple[int, ...] = (128, 128, 96, 64, 32, 16)
    """Channels of each level; as many levels as widths."""
    base_height: int = 4
    """Height of level 0 in pixels."""
    base_width: int = 8
    """Width of level 0 in pixels."""
    fusion: bool = True
    """Residual conditional fusion: each level's soft layout is mapped back to features and added before upsampling."""
    fusion_kernel: int = 1
    """Kernel side of the fusion convolution; the paper has 1, its public code 3."""
    scores: Literal["independent", "skip"] = "independent"
    """independent (the paper): every level maps its own features to scores. skip (ours): a level adds to the upsampled
    scores of the level below, from zero, so that growing a level changes nothing until it learns."""

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


class _BaseBlock(nn.Module):
    """Noise and palette to features at the base resolution."""

    def __init__(self, in_features: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.shape = (channels, height, width)
        self.dense = EqualisedLinear(in_features, channels * height * width, gain=2**0.5 / 4)
        self.conv = EqualisedConv2d(channels, channels, 3)

    def forward(self, code_BF: Tensor) -> Tensor:
        x_BCHW = self.dense(code_BF).unflatten(1, self.shape)
        x_BCHW = pixel_norm(leaky_relu(x_BCHW))
        return pixel_norm(leaky_relu(self.conv(x_BCHW)))


class _UpBlock(nn.Module):
    """Features to features at twice the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv2d(in_channels, out_channels, 3)
        self.conv1 = EqualisedConv2d(out_channels, out_channels, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")
        x_BCHW = pixel_norm(leaky_relu(self.conv0(x_BCHW)))
        return pixel_norm(leaky_relu(self.conv1(x_BCHW)))


class LayoutGenerator(nn.Module):
    """Noise and a palette to a soft layout at every level up to the active one."""

    def __init__(self, config: LayoutGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        code_size = config.latent_size + config.num_classes
        self.base = _BaseBlock(code_size, widths[0], config.base_height, config.base_width)
        self.blocks = nn.ModuleList(_UpBlock(a, b) for a, b in itertools.pairwise(widths))
        self.to_mask = nn.ModuleList(EqualisedConv2d(w, config.num_classes, 1, gain=1.0) for w in widths)
        self.fusion = nn.ModuleList(
            EqualisedConv2d(config.num_classes, w, config.fusion_kernel, gain=1.0)
            for w in (widths[:-1] if config.fusion else ())
        )
        if config.scores == "skip":
            for head in list(self.to_mask)[1:]:
                nn.init.zeros_(head.weight)  # type: ignore[arg-type]

    def forward(self, z_BZ: Tensor, palette_BK: Tensor, level: int | None = None, fade: float = 1.0) -> list[SaaOutput]:
        """Soft layouts of levels 0 to `level` (default: the last), coarsest first.

        Args:
            z_BZ: standard normal noise, float32.
            palette_BK: class proportions, each row on the simplex, float32.
            level: the active level.
            fade: weight in [0, 1] of the active level against the upsampled scores of the level below.
        """
        x_BCHW = self._base_features(z_BZ, palette_BK)
        last = self.config.num_levels - 1 if level is None else level
        scores_BKHW = self.to_mask[0](x_BCHW).float()
        outputs = [saa(scores_BKHW, palette_BK)]
        for index in range(1, last + 1):
            x_BCHW = self._grow(index, x_BCHW, outputs[-1])
            scores_BKHW = self._combine(scores_BKHW, self.to_mask[index](x_BCHW), fade if index == last else 1.0)
            outputs.append(saa(scores_BKHW, palette_BK))
        return outputs

    def scores(self, z_BZ: Tensor, palette_BK: Tensor) -> Tensor:
        """Scores f of the last level, float32 [B, K, H, W]: what SAA is applied to."""
        x_BCHW = self._base_features(z_BZ, palette_BK)
        scores_BKHW: Tensor = self.to_mask[0](x_BCHW).float()
        for index in range(1, self.config.num_levels):
            output = saa(scores_BKHW, palette_BK) if self.config.fusion else None
            x_BCHW = self._grow(index, x_BCHW, output)
            scores_BKHW = self._combine(scores_BKHW, self.to_mask[index](x_BCHW), 1.0)
        return scores_BKHW

    def _base_features(self, z_BZ: Tensor, palette_BK: Tensor) -> Tensor:
        features: Tensor = self.base(torch.cat([pixel_norm(z_BZ), palette_BK], dim=1))
        return features

    def _grow(self, level: int, x_BCHW: Tensor, below: SaaOutput | None) -> Tensor:
        """Features of `level` from those of the level below and what SAA made of it."""
        if self.config.fusion and below is not None:
            x_BCHW = x_BCHW + leaky_relu(self.fusion[level - 1](below.soft_BKHW.to(x_BCHW.dtype)))
        features: Tensor = self.blocks[level - 1](x_BCHW)
        return features

    def _combine(self, coarse_BKHW: Tensor, fine_BKHW: Tensor, fade: float) -> Tensor:
        """Scores of a level from those of the level below and its own."""
        fine_BKHW = fine_BKHW.float()
        if self.config.scores == "independent" and fade >= 1.0:
            return fine_BKHW
        upsampled = functional.interpolate(coarse_BKHW, scale_factor=2.0, mode="bilinear", align_corners=False)
        if self.config.scores == "skip":
            return upsampled + fade * fine_BKHW
        return torch.lerp(upsampled, fine_BKHW, fade)


class _DownBlock(nn.Module):
    """Features to features at half the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv2d(in_channels, in_channels, 3)
        self.conv1 = EqualisedConv2d(in_channels, out_channels, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = leaky_relu(self.conv1(leaky_relu(self.conv0(x_BCHW))))
        return functional.avg_pool2d(x_BCHW, 2)


class LayoutDiscriminator(nn.Module):
    """Soft layout at a level's resolution to a realism score; mirrors the generator's widths."""

    def __init__(self, config: LayoutGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.from_mask = nn.ModuleList(EqualisedConv2d(config.num_classes, w, 1, gain=1.0) for w in widths)
        self.blocks = nn.ModuleList(_DownBlock(b, a) for a, b in itertools.pairwise(widths))
        squeeze = (1, config.base_width // config.base_height)
        self.conv0 = EqualisedConv2d(widths[0] + config.batch_deviation, widths[0], 3, stride=squeeze)
        self.conv1 = EqualisedConv2d(widths[0], widths[0], config.base_height, padding=0)
        self.dense = EqualisedLinear(widths[0], 1, gain=1.0)

    def forward(self, layout_BKHW: Tensor, level: int, fade: float = 1.0) -> Tensor:
        """Scores [B] of layouts at `level`'s resolution; `fade` as in the generator."""
        x_BCHW = leaky_relu(self.from_mask[level](layout_BKHW))
        for index in range(level, 0, -1):
            x_BCHW = self.blocks[index - 1](x_BCHW)
            if index == level and fade < 1.0:
                coarse = leaky_relu(self.from_mask[level - 1](functional.avg_pool2d(layout_BKHW, 2)))
                x_BCHW = torch.lerp(coarse, x_BCHW, fade)
        if self.config.batch_deviation:
            x_BCHW = _append_batch_deviation(x_BCHW)
        x_BCHW = leaky_relu(self.conv0(x_BCHW))
        x_BC = leaky_relu(self.conv1(x_BCHW)).flatten(1)
        return self.dense(x_BC).squeeze(1)  # type: ignore[no-any-return]


def _append_batch_deviation(x_BCHW: Tensor) -> Tensor:
    """Append a channel that holds the mean over features of their standard deviation over the batch."""
    variance_CHW = x_BCHW.float().var(dim=0, unbiased=False)
    deviation = (variance_CHW + 1e-8).sqrt().mean().to(x_BCHW.dtype)
    batch, _, height, width = x_BCHW.shape
    return torch.cat([x_BCHW, deviation.expand(batch, 1, height, width)], dim=1)
