"""Runs a recipe: fit the palette model, train the layout generator, train the image generator."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes, load_scenes
from semantic_palette_training.palette_fit import fit_palette_model
from semantic_palette_training.recipe import STAGES, Recipe, dump_recipe, load_recipe
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.loop import Outcome, Stage, run_stage
from semantic_palette_training.trainers.stopper import Stopper

#: In the run folder: digest of the training scenes, so that neither resuming nor exporting mixes data.
DATA_FILE = "data.json"


def run_recipe(
    recipe: Recipe, directory: Path, stages: Sequence[str] = STAGES, *, deadline: float | None = None
) -> Outcome:
    """Run the named stages of `recipe` in `directory`, continuing what is already there.

    Args:
        recipe: what to train.
        directory: receives `recipe.yaml`, `data.json` and one folder a stage.
        stages: some of `STAGES`.
        deadline: `time.monotonic()` after which training stops with a checkpoint.

    Raises:
        InvalidInputError: an unknown stage, or `directory` holds a run of another recipe or of other data.
    """
    for name in stages:
        if name not in STAGES:
            raise InvalidInputError("stages", name, f"some of {', '.join(STAGES)}")
    with Stopper(deadline) as stopper:
        scenes = load_scenes(recipe.data, "train")
        _claim(directory, recipe, scenes)
        palettes = _palette_model(recipe, directory / "palette", scenes)
        for name in STAGES:
            if name == "palette" or name not in stages:
                continue
            stage = build_stage(name, recipe, scenes, palettes)
            if run_stage(stage, directory / name, recipe.loop, stopper) is Outcome.STOPPED:
                return Outcome.STOPPED
    return Outcome.FINISHED


def build_stage(name: str, recipe: Recipe, scenes: Scenes, palettes: PaletteModel) -> Stage:
    """The trainer of a stage."""
    if name == "layout":
        return LayoutTrainer(recipe.layout, scenes, palettes)
    return ImageTrainer(recipe.image, scenes, load_scenes(recipe.data, "val"))


def _claim(directory: Path, recipe: Recipe, scenes: Scenes) -> None:
    """Make `directory` the run of this recipe and data, or check that it is."""
    directory.mkdir(parents=True, exist_ok=True)
    recipe_file, data_file = directory / "recipe.yaml", directory / DATA_FILE
    if not recipe_file.exists():
        _write_whole(recipe_file, dump_recipe(recipe))
    elif _what_is_trained(load_recipe(recipe_file)) != _what_is_trained(recipe):
        raise InvalidInputError("out", str(directory), "a new folder, or one whose recipe.yaml is the same recipe")
    if not data_file.exists():
        _write_whole(data_file, json.dumps({"train_digest": scenes.digest()}) + "\n")
    elif json.loads(data_file.read_text())["train_digest"] != scenes.digest():
        raise InvalidInputError("data", recipe.data.name, f"the scenes that {directory} was begun with")


def _what_is_trained(recipe: Recipe) -> tuple[object, ...]:
    """The parts of a recipe that decide what comes out: not its description, not the intervals of the loop."""
    return recipe.data, recipe.palette, recipe.layout, recipe.image


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written; two commands may run side by side in a folder."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    temporary.write_text(text)
    os.replace(temporary, path)


def _palette_model(recipe: Recipe, directory: Path, scenes: Scenes) -> PaletteModel:
    """The run's palette model, fitted once (seconds) and read afterwards."""
    if not (directory / "palette.npz").exists():
        fit_palette_model(scenes.palettes(), recipe.palette).save(directory)
    return PaletteModel.load(directory / "palette.npz")
