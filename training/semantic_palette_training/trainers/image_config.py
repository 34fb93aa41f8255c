"""How an image generator is trained."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import (
    require_above,
    require_at_least,
    require_sizes,
    require_within,
    to_plain,
)
from semantic_palette_training.models.image_generators import ImageGeneratorConfig, build_image_generator
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.appearance import MAX_CODE_SIZE
from semantic_palette_training.trainers.checks import check_training
from semantic_palette_training.trainers.objectives import ObjectiveConfig, SegmentationConfig

_MAY_BE_0 = ("latent_size", "halvings", "blocks", "doublings")


@dataclass(kw_only=True, slots=True)
class ImagePhase:
    """Steps at one resolution."""

    height: int
    """Rows of the images, in pixels: the full height or, for a generator that grows, that halved a number of times."""
    steps: int
    """Updates of generator and discriminator."""
    batch_size: int
    """Scenes an update."""


@dataclass(kw_only=True, slots=True)
class ImageTrainConfig:
    """Everything that decides how an image generator is trained."""

    phases: tuple[ImagePhase, ...]
    """Resolutions in the order they are trained; the last must be the full one."""
    generator: ImageGeneratorConfig = field(default_factory=PyramidConfig)
    """Which network is trained."""
    objective: ObjectiveConfig = field(default_factory=SegmentationConfig)
    """Against which discriminator, with which losses."""
    appearance_size: int | None = None
    """How many components of the latent carry the scene's light in training (see trainers/appearance.py), 0 to 6; by
    default as many as the latent has room for."""
    layouts: Literal["hard", "soft"] = "hard"
    """Real layouts as the networks see them: one-hot, or softened, as a layout generator's are."""
    soften_sigma: float = 1.0
    """Blur of softened layouts in full-size pixels; in smaller phases it shrinks with them, to at least 0.5."""
    soften_keep: float = 0.5
    """Weight of the one-hot layout in a softened one."""
    learning_rate: float = 5e-4
    """Adam's, of the generator."""
    discriminator_learning_rate: float = 5e-4
    """Adam's, of the discriminator."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's, of both."""
    cool_down: float = 0.25
    """Share of all steps, at the end, over which both learning rates fall linearly to zero."""
    max_shift: int = 8
    """Scenes are moved sideways by up to this many full-size pixels, mirrored at the border; and flipped by chance."""
    average_decay: float = 0.998
    """Decay a step of the averaged generator, the one that is exported; 0 exports the trained one itself."""
    autocast: bool = False
    """Run the networks in bfloat16; losses, averages and optimisers stay float32. Halves the time on CPUs with
    AVX512_BF16 and is slow on those without."""
    seed: int = 0
    """Seed of initialisation, latents, augmentation and batches."""


def appearance_size(config: ImageTrainConfig, latent_size: int) -> int:
    """How many components of a latent of this size carry the scene's light."""
    return min(MAX_CODE_SIZE, latent_size) if config.appearance_size is None else config.appearance_size


def phase_of(phases: Sequence[ImagePhase], step: int) -> ImagePhase:
    """The phase that holds a step; after the end, the last."""
    for phase in phases:
        if step < phase.steps:
            return phase
        step -= phase.steps
    return phases[-1]


def check_image(config: ImageTrainConfig, shape: SceneShape) -> None:
    """Raise an InvalidInputError that names the field unless `config` fits the scenes; builds the generator on torch's
    meta device, where it takes neither memory nor time."""
    _check_generator(config.generator)
    with torch.device("meta"):
        generator = build_image_generator(config.generator, shape)
    check_config(config, shape, latent_size=generator.latent_size, grows=generator.grows)


def check_config(config: ImageTrainConfig, shape: SceneShape, *, latent_size: int, grows: bool) -> None:
    """Raise an InvalidInputError that names the field unless `config` fits the scenes and the generator."""
    _check_phases(config.phases, shape.height, grows=grows)
    check_training("image", config)
    require_above("image.discriminator_learning_rate", config.discriminator_learning_rate, 0)
    require_within("image.max_shift", config.max_shift, 0, shape.width - 1)
    require_within("image.cool_down", config.cool_down, 0, 1)
    if config.appearance_size is not None:
        require_within("image.appearance_size", config.appearance_size, 0, min(MAX_CODE_SIZE, latent_size))
    _check_objective(config, shape)


def _check_generator(generator: ImageGeneratorConfig) -> None:
    """Every number is a width or a count; what may also be 0 is checked by the network itself."""
    for entry in dataclasses.fields(generator):
        value, key = getattr(generator, entry.name), f"image.generator.{entry.name}"
        if isinstance(value, tuple):
            require_sizes(key, value)
        elif isinstance(value, int):
            require_at_least(key, value, 0 if entry.name in _MAY_BE_0 else 1)


def _check_objective(config: ImageTrainConfig, shape: SceneShape) -> None:
    objective, path = config.objective, "image.objective"
    if not isinstance(objective, SegmentationConfig):
        require_at_least(f"{path}.feature_weight", objective.feature_weight, 0)
        if objective.perceptual is not None:
            require_at_least(f"{path}.perceptual.weight", objective.perceptual.weight, 0)
        objective.discriminator.check(f"{path}.discriminator")
        return
    for name in ("label_mix_weight", "anchor_weight"):
        require_at_least(f"{path}.{name}", getattr(objective, name), 0)
    require_sizes(f"{path}.anchor_scales", objective.anchor_scales)
    widths = objective.discriminator.widths
    require_sizes(f"{path}.discriminator.widths", widths)
    sizes = [(phase.height, shape.width * phase.height // shape.height) for phase in config.phases]
    for height, width in sizes:
        if height % 2 ** len(widths) or width % 2 ** len(widths):
            allowed = f"as many levels as {height}x{width} of a phase can be halved"
            raise InvalidInputError(f"{path}.discriminator.widths", widths, allowed)
        for index, scale in enumerate(objective.anchor_scales):
            require_within(f"{path}.anchor_scales[{index}]", scale, 1, min(height, width))


def _check_phases(phases: tuple[ImagePhase, ...], full_height: int, *, grows: bool) -> None:
    if not phases or phases[-1].height != full_height:
        raise InvalidInputError("image.phases", to_plain(phases), f"the last phase must have height {full_height}")
    for index, phase in enumerate(phases):
        require_at_least(f"image.phases[{index}].height", phase.height, 1)
        require_at_least(f"image.phases[{index}].steps", phase.steps, 1)
        require_at_least(f"image.phases[{index}].batch_size", phase.batch_size, 1)
        factor, rest = divmod(full_height, phase.height)
        if rest or factor & (factor - 1) or (factor > 1 and not grows):
            allowed = (
                f"{full_height}, or that halved a number of times" if grows else f"{full_height}; it does not grow"
            )
            raise InvalidInputError(f"image.phases[{index}].height", phase.height, allowed)
