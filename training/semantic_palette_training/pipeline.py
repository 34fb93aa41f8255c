"""Runs a recipe: fits the palette model, then trains one model a stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.palette_fit import fit_palette_model
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.run_manifest import claim_run
from semantic_palette_training.trainers.checkpoint import stage_state
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.editor import EditorTrainer
from semantic_palette_training.trainers.end_to_end import EndToEndTrainer
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.image_config import ImageTrainConfig
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.loop import Outcome, Stage, run_stage
from semantic_palette_training.trainers.stage_record import read_record
from semantic_palette_training.trainers.stopper import Stopper


@dataclass
class StageInputs:
    """What stages are built from."""

    recipe: Recipe
    directory: Path
    """The run folder."""
    train: Scenes
    palettes: PaletteModel
    context: TrainContext

    @cached_property
    def validation(self) -> Scenes:
        """Held-out scenes, for sample sheets."""
        return load_scenes(self.recipe.data, "val")


def run_recipe(
    recipe: Recipe,
    directory: Path,
    context: TrainContext,
    stages: Sequence[str] | None = None,
    *,
    deadline: float | None = None,
) -> Outcome:
    """Run stages of `recipe` in `directory`, continuing what is already there.

    Args:
        recipe: what to train.
        directory: receives `recipe.yaml`, `run.json` and one folder a stage.
        context: device and processes.
        stages: some of the recipe's; default all.
        deadline: `time.monotonic()` after which training stops with a checkpoint.

    Raises:
        InvalidInputError: a stage that the recipe does not have, or `directory` holds a run of another recipe or of
            other data.
    """
    chosen = recipe.stages() if stages is None else stages
    for name in chosen:
        if name not in recipe.stages():
            raise InvalidInputError("stages", name, f"some of {', '.join(recipe.stages())}")
    with Stopper(deadline) as stopper:
        train = load_scenes(recipe.data, "train")
        if context.is_main:
            claim_run(directory, recipe, train)
            _fit_palettes(recipe, directory / "palette", train)
        context.barrier()
        palettes = PaletteModel.load(directory / "palette" / "palette.npz")
        inputs = StageInputs(recipe, directory, train, palettes, context)
        for name in recipe.stages():
            if name == "palette" or name not in chosen:
                continue
            outcome = run_stage(build_stage(name, inputs), directory / name, recipe.loop, stopper, context)
            if outcome is Outcome.STOPPED:
                return Outcome.STOPPED
    return Outcome.FINISHED


def build_stage(name: str, inputs: StageInputs) -> Stage:
    """The trainer of a stage, started from the stages that it builds on.

    Raises:
        InvalidInputError: as `new_stage`, or the stages that it builds on are not finished.
        CheckpointError: a checkpoint of theirs is missing or unreadable.
    """
    stage = new_stage(name, inputs)
    if isinstance(stage, EndToEndTrainer):
        stage.start_from(*(_finished_state(inputs.directory, part) for part in ("layout", "image")))
    return stage


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


def _finished_state(directory: Path, name: str) -> dict[str, Any]:
    """The last state of another stage."""
    state = stage_state(directory / name, name)
    record = read_record(directory / name)
    if record["step"] < record["total_steps"]:
        raise InvalidInputError("stages", "end_to_end", f"stage {name} finished before it")
    return state


def _fit_palettes(recipe: Recipe, directory: Path, scenes: Scenes) -> None:
    """Fit the run's palette model, once (seconds)."""
    if not (directory / "palette.npz").exists():
        fit_palette_model(scenes.palettes(), recipe.palette).save(directory)
