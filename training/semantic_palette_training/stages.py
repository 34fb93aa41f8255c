"""The trainers of a recipe's stages, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.editor import EditorTrainer
from semantic_palette_training.trainers.end_to_end import EndToEndTrainer
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.image_config import ImageTrainConfig
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.loop import Stage

#: Stages whose sample sheets show held-out scenes.
VALIDATED_STAGES = ("editor", "image", "end_to_end")


@dataclass
class StageInputs:
    """What stages are built from."""

    recipe: Recipe
    train: Scenes
    palettes: PaletteModel
    context: TrainContext
    load_validation: Callable[[], Scenes]

    @cached_property
    def validation(self) -> Scenes:
        """Held-out scenes, for sample sheets; loaded once."""
        return self.load_validation()


def new_stage(name: str, inputs: StageInputs) -> Stage:
    """The trainer of a stage that the recipe has, with fresh networks.

    Raises:
        InvalidInputError: the recipe has no such stage, or its section does not fit the data.
    """
    recipe, train, palettes, context = inputs.recipe, inputs.train, inputs.palettes, inputs.context
    match name, recipe.layout, recipe.image:
        case "layout", LayoutTrainConfig() as layout, _:
            return LayoutTrainer(layout, train, palettes, context)
        case "image", _, ImageTrainConfig() as image:
            return ImageTrainer(image, train, inputs.validation, context)
        case "editor", _, _ if recipe.editor is not None:
            return EditorTrainer(recipe.editor, train, inputs.validation, palettes, context)
        case "end_to_end", LayoutTrainConfig() as layout, ImageTrainConfig() as image if recipe.end_to_end is not None:
            return EndToEndTrainer(recipe.end_to_end, layout, image, train, inputs.validation, palettes, context)
    raise InvalidInputError("stages", name, f"some of {', '.join(recipe.stages())}")
