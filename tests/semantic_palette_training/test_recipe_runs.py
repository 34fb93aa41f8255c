"""Every recipe that comes with the package prints its costs and runs, shrunk to a few steps on procedural scenes."""

import dataclasses
from pathlib import Path

import pytest
import torch

from semantic_palette.cli.main import run
from semantic_palette_training.pipeline import run_recipe
from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe, recipe_names
from semantic_palette_training.smoke import HEIGHT, shrunk
from semantic_palette_training.trainers import calibration
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.loop import Outcome

KINDS = {"layout": {"layout"}, "editor": {"editor"}, "image": {"image"}, "end_to_end": {"layout", "image"}}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_prints_itself_and_its_costs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SEMANTIC_PALETTE_DATA", raising=False)
    assert run(["train", "--recipe", name, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    recipe = load_recipe(find_recipe(name))
    for stage in set(recipe.stages()) - {"palette", "end_to_end"}:
        assert f"{stage} generator: " in printed or f"{stage}: " in printed
    assert "M parameters" in printed


def shrunk_alike() -> list[str]:
    """One recipe of every group that shrinks to the same: recipes that differ in data and numbers of steps alone."""
    groups: dict[str, str] = {}
    for name in recipe_names():
        recipe = shrunk(load_recipe(find_recipe(name)))
        groups.setdefault(dump_recipe(dataclasses.replace(recipe, description="")), name)
    return list(groups.values())


@pytest.mark.parametrize("name", shrunk_alike())
def test_a_recipe_runs_shrunk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATION_BATCHES", 2)
    recipe = shrunk(load_recipe(find_recipe(name)))
    assert run_recipe(recipe, tmp_path, TrainContext(torch.device("cpu"))) is Outcome.FINISHED
    for stage in set(recipe.stages()) - {"palette"}:
        for kind in KINDS[stage]:
            state = load_tensors(tmp_path / stage / f"{kind}.pt")
            assert state["step"] == state["total_steps"] > 0
            assert state["height"] == HEIGHT


def test_the_command_shrinks_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--recipe", "paper/cityscapes/baseline-2", "--smoke", "--stages", "palette,layout"]
    assert run([*arguments, "--out", str(tmp_path / "run"), "--device", "cpu", "--micro-batch", "1"]) == 0
    assert "finished" in capsys.readouterr().out
