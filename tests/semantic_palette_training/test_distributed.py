"""Two processes under torchrun (gloo): they agree with one, stop together, and continue bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_run import gradients
from stage_runs import ALONE, assert_identical

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.stage_record import read_record

SCRIPT = Path(__file__).with_name("distributed_run.py")
STAGES = ("layout", "editor", "image", "end_to_end")


def torchrun(recipe: Path, directory: Path, runs: int = 1, **signals: int) -> str:
    """Outcomes of running the recipe so often with SIGTERM in steps of stages."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [str(recipe), str(directory), str(runs), *(f"{stage}={step}" for stage, step in signals.items())]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage, without what is computed over a batch of layouts, so that one process can agree with two."""
    loaded = load_recipe(find_recipe("smoke/streets-all"))
    assert loaded.stages() == ("palette", *STAGES)
    assert loaded.layout is not None
    loaded.layout.generator.batch_deviation = False
    loaded.layout.penalty_every = 1
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(dump_recipe(loaded))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    assert torchrun(recipe, directory) == "finished"
    return directory


def test_a_signal_to_one_process_stops_both_and_they_continue_bit_for_bit(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    """In new processes after a stop in the first stage, in the same ones after a stop in each of the others."""
    assert torchrun(recipe, tmp_path, layout=3) == "stopped"
    assert read_record(tmp_path / "layout")["step"] == 3
    assert torchrun(recipe, tmp_path, 4, editor=2, image=3, end_to_end=1) == "stopped stopped stopped finished"
    for stage in STAGES:
        continued, uncut = (load_tensors(run / stage / "checkpoint.pt") for run in (tmp_path, whole))
        assert_identical(continued, uncut, stage)
        sessions = read_record(tmp_path / stage)["sessions"]
        assert [session["processes"] for session in sessions] == [2, 2], stage


def test_two_processes_that_accumulate_get_the_gradients_of_one(recipe: Path, whole: Path) -> None:
    """Of a first step's every weight: not what Adam makes of them, whose steps have the size of the rate whatever the
    gradient."""
    loaded = load_recipe(recipe)
    assert loaded.layout is not None
    palettes = PaletteModel.load(whole / "palette" / "palette.npz")
    trainer = LayoutTrainer(loaded.layout, load_scenes(loaded.data, "train"), palettes, ALONE)
    assert "penalty" in trainer.run_step()
    expected, actual = gradients(trainer), torch.load(whole / "gradients.pt", weights_only=True)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 0.01
