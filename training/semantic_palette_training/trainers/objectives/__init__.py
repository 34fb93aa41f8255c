"""Objectives of image generators, by name: each owns its discriminator and gives both sides' losses of a batch."""

from torch import Tensor, nn

from semantic_palette_training.models.patch_discriminator import PatchDiscriminator
from semantic_palette_training.models.segmentation_discriminator import SegmentationDiscriminator
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.objectives.base import Autocast, Objective, SceneBatch
from semantic_palette_training.trainers.objectives.patch import HingeConfig, LeastSquaresConfig, PatchObjective
from semantic_palette_training.trainers.objectives.segmentation import SegmentationConfig, SegmentationObjective

__all__ = [
    "HingeConfig",
    "LeastSquaresConfig",
    "Objective",
    "ObjectiveConfig",
    "PatchObjective",
    "SceneBatch",
    "SegmentationConfig",
    "SegmentationObjective",
    "build_discriminator",
    "build_objective",
]

ObjectiveConfig = SegmentationConfig | HingeConfig | LeastSquaresConfig
"""`segmentation` is ours and the default; `hinge` is GauGAN's, `least_squares` pix2pixHD's."""


def build_objective(config: ObjectiveConfig, shape: SceneShape, frequencies_K: Tensor, autocast: Autocast) -> Objective:
    """The objective of a config.

    Args:
        config: which.
        shape: of the scenes.
        frequencies_K: float, each class's share of all pixels of the data set.
        autocast: for the passes of networks.

    Raises:
        InvalidInputError: the perceptual term's weights are not what the config says.
    """
    match config:
        case SegmentationConfig():
            return SegmentationObjective(config, shape, frequencies_K, autocast)
        case HingeConfig() | LeastSquaresConfig():
            return PatchObjective(config, shape, autocast)


def build_discriminator(config: ObjectiveConfig, shape: SceneShape) -> nn.Module:
    """The discriminator alone, for its cost; it takes [B, in_channels, H, W]."""
    if isinstance(config, SegmentationConfig):
        return SegmentationDiscriminator(config.discriminator, shape)
    return PatchDiscriminator(config.discriminator, shape.num_classes + 3)
