"""How an image generator is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import require_at_least, to_plain
from semantic_palette_training.models.image_generators import ImageGeneratorConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.appearance import MAX_CODE_SIZE
from semantic_palette_training.trainers.objectives import ObjectiveConfig, SegmentationConfig


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


def images_seen(phases: Sequence[ImagePhase], step: int) -> int:
    """Scenes that the first `step` steps take, over all processes."""
    seen = 0
    for phase in phases:
        seen += phase.batch_size * max(0, min(step, phase.steps))
        step -= phase.steps
    return seen


def check_config(config: ImageTrainConfig, shape: SceneShape, *, latent_size: int, grows: bool) -> None:
    """Raise an InvalidInputError that names the field unless `config` fits the scenes and the generator."""
    _check_phases(config.phases, shape.height, grows=grows)
    ranges: dict[str, tuple[float, float]] = {
        "max_shift": (0, shape.width - 1),
        "cool_down": (0, 1),
        "average_decay": (0, 1),
        "soften_keep": (0.5, 1),
    }
    if config.appearance_size is not None:
        ranges["appearance_size"] = (0, min(MAX_CODE_SIZE, latent_size))
    for name, (lowest, highest) in ranges.items():
        value = getattr(config, name)
        if not lowest <= value <= highest:
            raise InvalidInputError(f"image.{name}", value, f"{lowest} to {highest}")
    if config.soften_sigma <= 0:
        raise InvalidInputError("image.soften_sigma", config.soften_sigma, "above 0")


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
