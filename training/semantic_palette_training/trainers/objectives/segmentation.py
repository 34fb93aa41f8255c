"""Our default objective: OASIS (Schoenfeld et al., 2021) with a colour anchor; needs no pretrained network."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from semantic_palette_training.losses.segmentation import (
    class_weights,
    colour_anchor_loss,
    fake_loss,
    label_mix_loss,
    label_mix_mask,
    mix,
    real_loss,
)
from semantic_palette_training.models.segmentation_discriminator import (
    SegmentationDiscriminator,
    SegmentationDiscriminatorConfig,
)
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.objectives.base import Autocast, Losses, Objective, SceneBatch, frozen


@dataclass(kw_only=True, slots=True)
class SegmentationConfig:
    """The discriminator tells every pixel's class, or that it is generated."""

    name: Literal["segmentation"] = "segmentation"
    discriminator: SegmentationDiscriminatorConfig = field(default_factory=SegmentationDiscriminatorConfig)
    """Its shape."""
    label_mix_weight: float = 5.0
    """Weight of the LabelMix consistency in the discriminator's loss."""
    anchor_weight: float = 5.0
    """Weight of the colour anchor in the generator's loss; 0 is plain OASIS."""
    anchor_scales: tuple[int, ...] = (2, 8)
    """Block sizes, in pixels, at which the colour anchor compares images."""


class SegmentationObjective(Objective):
    """OASIS's losses (losses/segmentation.py) on a batch.

    Args:
        config: weights and the discriminator's shape.
        shape: of the scenes.
        frequencies_K: float, each class's share of all pixels of the data set.
        autocast: for the passes of networks.
    """

    def __init__(
        self, config: SegmentationConfig, shape: SceneShape, frequencies_K: Tensor, autocast: Autocast
    ) -> None:
        super().__init__(autocast)
        self.config = config
        self.discriminator = SegmentationDiscriminator(config.discriminator, shape)
        self.register_buffer("weights_K", class_weights(frequencies_K))

    def draws(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """LabelMix's fair coin for every class of every sample, int64 [B, K]."""
        return torch.randint(0, 2, (batch_size, len(self.get_buffer("weights_K"))), generator=generator)

    def discriminator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor, draws_BN: Tensor) -> Losses:
        """OASIS, eq. 1, and the LabelMix consistency, eq. 5; see the base class."""
        mask_B1HW = label_mix_mask(scenes.labels_BHW, draws_BN)
        mixed_B3HW = mix(mask_B1HW, scenes.image_B3HW, fake_B3HW)
        with self.autocast():
            logits = self.discriminator(torch.cat([scenes.image_B3HW, fake_B3HW, mixed_B3HW]))
        on_real, on_fake, on_mixed = logits.float().chunk(3)
        real = real_loss(on_real, scenes.labels_BHW, self.get_buffer("weights_K"))
        fake = fake_loss(on_fake)
        consistency = label_mix_loss(mix(mask_B1HW, on_real, on_fake), on_mixed)
        parts = {"d_real": real.detach(), "d_fake": fake.detach(), "label_mix": consistency.detach()}
        return real + fake + self.config.label_mix_weight * consistency, parts

    def generator_loss(self, scenes: SceneBatch, fake_B3HW: Tensor) -> Losses:
        """OASIS, eq. 3, and the colour anchor; see the base class."""
        with frozen(self.discriminator), self.autocast():
            logits = self.discriminator(fake_B3HW)
        adversarial = real_loss(logits, scenes.labels_BHW, self.get_buffer("weights_K"))
        anchor = colour_anchor_loss(fake_B3HW, scenes.image_B3HW, self.config.anchor_scales)
        parts = {"g_adversarial": adversarial.detach(), "g_anchor": anchor.detach()}
        return adversarial + self.config.anchor_weight * anchor, parts
