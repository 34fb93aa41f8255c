"""Two processes under torchrun (gloo): they agree with one, stop together, and continue bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stage_runs import assert_identical

from semantic_palette_training.pipeline import run_recipe
from semantic_palette_training.recipe import dump_recipe, find_recipe, load_recipe
from semantic_palette_training.trainers.checkpoint import load_tensors, stage_state
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.stage_record import read_record

SCRIPT = Path(__file__).with_name("distributed_run.py")


def torchrun(recipe: Path, directory: Path, *, signal_at: int = 0) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [str(recipe), str(directory), str(signal_at)]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke recipe without what is computed over a batch, so that one process can agree with two."""
    loaded = load_recipe(find_recipe("smoke/streets"))
    assert loaded.layout is not None
    loaded.layout.generator.batch_deviation = False
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
    assert torchrun(recipe, tmp_path / "run", signal_at=3) == "stopped"
    assert read_record(tmp_path / "run" / "layout")["step"] == 3
    assert torchrun(recipe, tmp_path / "run") == "finished"
    for stage in ("layout", "image"):
        continued, uncut = (load_tensors(run / stage / "checkpoint.pt") for run in (tmp_path / "run", whole))
        assert_identical(continued, uncut)
    sessions = read_record(tmp_path / "run" / "layout")["sessions"]
    assert [session["processes"] for session in sessions] == [2, 2]


def test_two_processes_that_accumulate_learn_what_one_learns(recipe: Path, whole: Path, tmp_path: Path) -> None:
    alone = TrainContext(torch.device("cpu"))
    run_recipe(load_recipe(recipe), tmp_path / "run", alone, ["palette", "layout"])
    one, two = (stage_state(run / "layout", "layout") for run in (tmp_path / "run", whole))
    for network in ("generator", "discriminator"):
        for name, weight in one[network].items():
            torch.testing.assert_close(two[network][name], weight, rtol=2e-3, atol=2e-4, msg=f"{network}.{name}")
