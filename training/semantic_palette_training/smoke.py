"""A recipe made small enough to try: the same networks and losses, narrow and coarse, for a few steps on Streets.

Whether a recipe runs at all shows in seconds; what it makes of the few steps shows nothing.
"""

import dataclasses
from typing import Any

from semantic_palette_training.data.registry import scene_shape
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.gaugan import GauganConfig
from semantic_palette_training.models.image_generators import ImageGeneratorConfig
from semantic_palette_training.models.patch_discriminator import PatchDiscriminatorConfig
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.sean import SeanConfig
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig
from semantic_palette_training.trainers.objectives import ObjectiveConfig, SegmentationConfig
from semantic_palette_training.trainers.phases import Phase

HEIGHT = 32
_SCENES = 24
_WIDTH, _LATENT_SIZE, _BATCH_SIZE = 12, 12, 2
#: Levels of progressive networks: 4, 8, 16 and 32 rows.
_LEVELS = 4


def shrunk(recipe: Recipe) -> Recipe:
    """The recipe with at most two steps a phase, narrow networks and procedural scenes of 32 rows.

    Stages, switches, losses and optimisers stay as they are; the perceptual term, which needs a file, is left out.
    """
    shape = scene_shape(recipe.data)
    return dataclasses.replace(
        recipe,
        description=f"A few steps of: {recipe.description}",
        data=StreetsData(height=HEIGHT, width=HEIGHT * shape.width // shape.height, count=_SCENES),
        palette=dataclasses.replace(recipe.palette, max_components=1),
        layout=_progressive(recipe.layout),
        editor=_progressive(recipe.editor),
        image=None if recipe.image is None else _image(recipe.image),
        end_to_end=None
        if recipe.end_to_end is None
        else dataclasses.replace(
            recipe.end_to_end,
            steps=2,
            batch_size=_BATCH_SIZE,
            discriminator=_patches(recipe.end_to_end.discriminator),
        ),
    )


def _progressive(config: Any) -> Any:
    """A layout or editor section with four narrow levels, of which the last two are trained."""
    if config is None:
        return None
    generator = config.generator
    narrow = {"widths": (_WIDTH,) * _LEVELS, "latent_size": _LATENT_SIZE}
    if hasattr(generator, "spade_hidden"):
        narrow["spade_hidden"] = _WIDTH
    weight = config.phases[-1].conditional_weight
    phases = (
        Phase(level=_LEVELS - 2, stable_steps=1, batch_size=_BATCH_SIZE, conditional_weight=weight),
        Phase(level=_LEVELS - 1, fade_steps=1, stable_steps=1, batch_size=_BATCH_SIZE, conditional_weight=weight),
    )
    return dataclasses.replace(config, generator=dataclasses.replace(generator, **narrow), phases=phases)


def _image(config: ImageTrainConfig) -> ImageTrainConfig:
    return dataclasses.replace(
        config,
        generator=_generator(config.generator),
        objective=_objective(config.objective),
        appearance_size=None,
        max_shift=min(config.max_shift, 2),
        phases=(ImagePhase(height=HEIGHT, steps=2, batch_size=_BATCH_SIZE),),
    )


def _generator(config: ImageGeneratorConfig) -> ImageGeneratorConfig:
    match config:
        case PyramidConfig():
            latent_size = min(config.latent_size, _LATENT_SIZE)
            return dataclasses.replace(config, widths=(_WIDTH,) * 3, latent_size=latent_size, spade_hidden=_WIDTH)
        case GauganConfig():
            return dataclasses.replace(config, width=4, hidden=_WIDTH, doublings=None)
        case SeanConfig():
            return dataclasses.replace(config, width=4, hidden=_WIDTH, doublings=None, style_size=8, encoder_width=4)
        case Pix2PixHDConfig():
            return dataclasses.replace(config, width=4)


def _objective(config: ObjectiveConfig) -> ObjectiveConfig:
    if isinstance(config, SegmentationConfig):
        narrow = dataclasses.replace(config.discriminator, widths=(_WIDTH,) * 3)
        return dataclasses.replace(config, discriminator=narrow)
    return dataclasses.replace(config, discriminator=_patches(config.discriminator), perceptual=None)


def _patches(config: PatchDiscriminatorConfig) -> PatchDiscriminatorConfig:
    """As many scales, each shallow enough for 32 rows."""
    return dataclasses.replace(config, widths=(8, 8))
