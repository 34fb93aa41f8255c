"""The objectives of GauGAN and pix2pixHD: a patch discriminator on layout and image, feature matching and, when the
user supplies VGG19's weights, the perceptual term.

Legend: B batch, K classes, H and W pixels.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from semantic_palette_training.losses import hinge, least_squares
from semantic_palette_training.losses.feature_matching import feature_matching_loss
from semantic_palette_training.losses.perceptual import perceptual_loss
from semantic_palette_training.models.patch_discriminator import (
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    PatchFeatures,
)
from semantic_palette_training.models.vgg import PerceptualConfig, load_vgg19
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.objectives.base import Autocast, Losses, Objective, SceneBatch, frozen


@dataclass(kw_only=True, slots=True)
class HingeConfig:
    """GauGAN's objective (Park et al., 2019, section 3 and supplement)."""

    name: Literal["hinge"] = "hinge"
    discriminator: PatchDiscriminatorConfig = field(default_factory=PatchDiscriminatorConfig)
    """Its shape."""
    feature_weight: float = 10.0
    """Weight of feature matching in the generator's loss."""
    perceptual: PerceptualConfig | None = None
    """The perceptual term; none without VGG19's weights."""


def _pix2pixhd_discriminator() -> PatchDiscriminatorConfig:
    return PatchDiscriminatorConfig(widths=(64, 128, 256, 512), scales=3, spectral=False)


@dataclass(kw_only=True, slots=True)
class LeastSquaresConfig:
    """pix2pixHD's objective (Wang et al., 2018, section 3.2 and supplement), without its instance map."""

    name: Literal["least_squares"] = "least_squares"
    discriminator: PatchDiscriminatorConfig = field(default_factory=_pix2pixhd_discriminator)
    """Its shape."""
    feature_weight: float = 10.0
    """Weight of feature matching in the generator's loss."""
    perceptual: PerceptualConfig | None = None
    """The perceptual term; none without VGG19's weights."""


class PatchObjective(Objective):
    """An adversarial loss on layout and image, feature matching and the perceptual term, on a batch.

    Args:
        config: which adversarial loss, weights and the discriminator's shape.
        shape: of the scenes.
        autocast: for the passes of networks.

    Raises:
        InvalidInputError: the perceptual term's weights are not what the config says.
    """

    def __init__(self, config: HingeConfig | LeastSquaresConfig, shape: SceneShape, autocast: Autocast) -> None:
        super().__init__(autocast)
        self.config = config
        self.discriminator = PatchDiscriminator(config.discriminator, shape.num_classes + 3)
        self.adversarial = hinge if isinstance(config, HingeConfig) else least_squares
        self.vgg: nn.Module | None = load_vgg19(config.perceptual) if config.perceptual else None

    def discriminator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor, draws_BN: Tensor) -> Losses:
        """The adversarial loss; see the base class. Draws nothing."""
        pairs = torch.cat([_pair(scenes, scenes.image_B3HW), _pair(scenes, fake_B3HW)])
        with self.autocast():
            scores = [features[-1] for features in self.discriminator(pairs)]
        real, fake = zip(*(scale.chunk(2) for scale in scores), strict=True)
        loss = self.adversarial.discriminator_loss(real, fake)
        parts = {"d_real": _mean(real), "d_fake": _mean(fake)}
        return loss, {"d_adversarial": loss.detach(), **parts}

    def generator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor) -> Losses:
        """Adversarial loss, feature matching and the perceptual term; see the base class."""
        with frozen(self.discriminator), self.autocast():
            fake: list[PatchFeatures] = self.discriminator(_pair(scenes, fake_B3HW))
            with torch.no_grad():
                real: list[PatchFeatures] = self.discriminator(_pair(scenes, scenes.image_B3HW))
        adversarial = self.adversarial.generator_loss([features[-1] for features in fake])
        matching = feature_matching_loss(fake, real)
        loss = adversarial + self.config.feature_weight * matching
        parts = {"g_adversarial": adversarial.detach(), "g_features": matching.detach()}
        if self.vgg is not None and self.config.perceptual is not None:
            perceptual = self._perceptual(self.vgg, fake_B3HW, scenes.image_B3HW)
            loss = loss + self.config.perceptual.weight * perceptual
            parts["g_perceptual"] = perceptual.detach()
        return loss, parts

    def _perceptual(self, vgg: nn.Module, fake_B3HW: Tensor, real_B3HW: Tensor) -> Tensor:
        with self.autocast():
            fake = vgg(fake_B3HW)
            with torch.no_grad():
                real = vgg(real_B3HW)
        return perceptual_loss(fake, real)


def _pair(scenes: SceneBatch, image_B3HW: Tensor) -> Tensor:
    """What the discriminator sees, [B, K + 3, H, W]."""
    return torch.cat([scenes.layout_BKHW, image_B3HW], dim=1)


def _mean(scores: tuple[Tensor, ...]) -> Tensor:
    """Mean score, over scales, for the curves."""
    return torch.stack([scale.detach().float().mean() for scale in scores]).mean()
