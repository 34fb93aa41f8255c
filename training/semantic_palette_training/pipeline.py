"""Runs a recipe: fit the palette model, train the layout generator, train the image generator."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes, load_scenes
from semantic_palette_training.palette_fit import fit_palette_model
from semantic_palette_training.recipe import STAGES, Recipe, dump_recipe
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.loop import Outcome, Stage, run_stage


def run_recipe(
    recipe: Recipe, directory: Path, stages: Sequence[str] = STAGES, *, deadline: float | None = None
) -> Outcome:
    """Run the named stages of `recipe` in `directory`, continuing what is already there.

    Args:
        recipe: what to train.
        directory: receives `recipe.yaml` and one folder a stage.
        stages: some of `STAGES`.
        deadline: `time.monotonic()` after which training stops with a checkpoint.

    Raises:
        InvalidInputError: an unknown stage, or `directory` holds a run of another recipe.
    """
    for name in stages:
        if name not in STAGES:
            raise InvalidInputError("stages", name, f"some of {', '.join(STAGES)}")
    _claim(directory, recipe)
    scenes = load_scenes(recipe.data, "train")
    palettes = _palette_model(recipe, directory / "palette", scenes)
    for name in STAGES:
        if name == "palette" or name not in stages:
            continue
        stage = build_stage(name, recipe, scenes, palettes)
        outcome = run_stage(stage, directory / name, recipe.loop, seed=recipe.data.seed, deadline=deadline)
        if outcome is Outcome.STOPPED:
            return outcome
    return Outcome.FINISHED


def build_stage(name: str, recipe: Recipe, scenes: Scenes, palettes: PaletteModel) -> Stage:
    """The trainer of a stage."""
    if name == "layout":
        return LayoutTrainer(recipe.layout, scenes, palettes)
    return ImageTrainer(recipe.image, scenes, load_scenes(recipe.data, "val"))


def costs(recipe: Recipe, scenes: Scenes, palettes: PaletteModel) -> dict[str, dict[str, float]]:
    """Parameters (millions) and forward operations (GFLOP, two per multiply-add) of a layout and of an image."""
    layout = LayoutTrainer(recipe.layout, scenes, palettes)
    image = ImageTrainer(recipe.image, scenes, scenes)
    palette_BK = torch.from_numpy(scenes.palettes()[:1]).float()
    labels_BHW = torch.from_numpy(scenes.labels[:1])
    return {
        "layout": _cost(layout.average.average, torch.zeros(1, recipe.layout.latent_size), palette_BK),
        "image": _cost(image.average.average, labels_BHW, torch.zeros(1, recipe.image.latent_size)),
    }


def _cost(network: nn.Module, *inputs: torch.Tensor) -> dict[str, float]:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(*inputs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters_m": parameters / 1e6, "gflop": counter.get_total_flops() / 1e9}


def _claim(directory: Path, recipe: Recipe) -> None:
    """Write the resolved recipe, or check that the run already there is of the same one."""
    path, text = directory / "recipe.yaml", dump_recipe(recipe)
    if path.exists() and path.read_text() != text:
        raise InvalidInputError("out", str(directory), "a new folder, or one whose recipe.yaml is the same recipe")
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _palette_model(recipe: Recipe, directory: Path, scenes: Scenes) -> PaletteModel:
    """The run's palette model, fitted once (seconds) and read afterwards."""
    if not (directory / "palette.npz").exists():
        fit_palette_model(scenes.palettes(), recipe.palette).save(directory)
    return PaletteModel.load(directory / "palette.npz")


def deadline_after(limit_seconds: float | None) -> float | None:
    """The `time.monotonic()` that lies `limit_seconds` ahead, if a limit is given."""
    return None if limit_seconds is None else time.monotonic() + limit_seconds
