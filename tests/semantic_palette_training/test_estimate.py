"""Costs of training: counted operations against real ones, the table of recipes."""

import dataclasses

import pytest
import torch

from semantic_palette.cli.main import run
from semantic_palette_training import estimate, recipe_table
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.estimate import Rate, TrainingFlop, hours, measured_rate
from semantic_palette_training.palette_fit import fit_palette_model
from semantic_palette_training.recipe import Recipe, find_recipe, load_recipe
from semantic_palette_training.stages import StageInputs, new_stage
from semantic_palette_training.trainers.context import TrainContext


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(find_recipe("smoke/streets"))


def test_counted_operations_are_those_of_real_steps(recipe: Recipe) -> None:
    """All 11 steps of the layout stage, of which every second has a penalty, done on the CPU."""
    train = load_scenes(recipe.data, "train")
    palettes = fit_palette_model(train.palettes(), recipe.palette).model
    stage = new_stage("layout", StageInputs(recipe, train, palettes, TrainContext(torch.device("cpu")), lambda: train))
    with estimate._FlopCounter() as counter:
        while stage.step_index < stage.total_steps:
            stage.run_step()
    counted = TrainingFlop().stages(recipe)
    assert set(counted) == {"layout", "image"}
    # A step while a level fades in has one convolution more, which the count leaves out.
    assert counted["layout"] == pytest.approx(counter.total, rel=0.1)


def test_twice_the_steps_are_twice_the_operations(recipe: Recipe) -> None:
    assert recipe.image is not None
    phases = tuple(dataclasses.replace(phase, steps=2 * phase.steps) for phase in recipe.image.phases)
    longer = dataclasses.replace(recipe, layout=None, image=dataclasses.replace(recipe.image, phases=phases))
    counter = TrainingFlop()
    assert counter.stages(longer)["image"] == pytest.approx(2 * counter.stages(recipe)["image"])


def test_hours_take_the_rate_of_each_stages_precision(recipe: Recipe) -> None:
    assert recipe.image is not None
    mixed = dataclasses.replace(recipe, image=dataclasses.replace(recipe.image, autocast=True))
    assert hours(mixed, {"layout": 3600.0, "image": 7200.0}, Rate(single=1.0, autocast=2.0)) == 2.0


def test_the_rate_of_this_device_is_measured() -> None:
    rate = measured_rate(torch.device("cpu"), seconds=0.4)
    assert rate.single > 0
    assert rate.autocast > 0


def test_the_table_lists_recipes_with_their_costs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(recipe_table, "recipe_names", lambda: ["smoke/streets", "paper/celebamask-hq/face-editor"])
    assert run(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert "smoke/streets" in printed
    assert "256x256" in printed
    assert "hours" not in printed

    monkeypatch.setattr(recipe_table, "recipe_names", lambda: ["smoke/streets"])
    monkeypatch.setattr(recipe_table, "measured_rate", lambda device: Rate(single=1e12, autocast=1e12))
    assert run(["recipes", "--measure", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "hours here" in printed
    assert "PFLOP" in printed
