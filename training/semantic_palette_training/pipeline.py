"""Runs a recipe: fits the palette model, then trains one model a stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.palette_fit import fit_palette_model
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.rehearsal import rehearse
from semantic_palette_training.run_manifest import claim_run
from semantic_palette_training.stages import VALIDATED_STAGES, StageInputs, new_stage
from semantic_palette_training.trainers.checkpoint import stage_state
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.end_to_end import EndToEndTrainer
from semantic_palette_training.trainers.loop import Outcome, Stage, run_stage
from semantic_palette_training.trainers.stage_record import read_record
from semantic_palette_training.trainers.stopper import Stopper


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
        InvalidInputError: a stage that the recipe does not have, a value that does not fit the data or the processes
            (in any of the stages, before the first begins), or `directory` holds a run of another recipe or of other
            data.
        DataError: the scenes cannot be read.
    """
    chosen = recipe.stages() if stages is None else stages
    for name in chosen:
        if name not in recipe.stages():
            raise InvalidInputError("stages", name, f"some of {', '.join(recipe.stages())}")
    rehearse(recipe, chosen, context.world_size)
    with Stopper(deadline) as stopper:
        train = load_scenes(recipe.data, "train")
        if context.is_main:
            claim_run(directory, recipe, train)
            _fit_palettes(recipe, directory / "palette", train)
        context.barrier()
        palettes = PaletteModel.load(directory / "palette" / "palette.npz")
        inputs = StageInputs(recipe, train, palettes, context, lambda: load_scenes(recipe.data, "val"))
        if any(name in VALIDATED_STAGES for name in chosen):
            # Now rather than after a stage that took days: a missing split should stop nobody then.
            _ = inputs.validation
        for name in recipe.stages():
            if name == "palette" or name not in chosen:
                continue
            outcome = run_stage(build_stage(name, inputs, directory), directory / name, recipe.loop, stopper, context)
            if outcome is Outcome.STOPPED:
                return Outcome.STOPPED
    return Outcome.FINISHED


def build_stage(name: str, inputs: StageInputs, directory: Path) -> Stage:
    """The trainer of a stage, started from the stages of the run in `directory` that it builds on.

    Raises:
        InvalidInputError: as `new_stage`, or the stages that it builds on are not finished.
        CheckpointError: a checkpoint of theirs is missing or unreadable.
    """
    stage = new_stage(name, inputs)
    if isinstance(stage, EndToEndTrainer):
        stage.start_from(*(_finished_state(directory, part) for part in ("layout", "image")))
    return stage


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
