"""The training loop: deadlines, signals, atomic checkpoints, finite losses."""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.trainers.checkpoint import CheckpointError, load_tensors, save_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.loop import LoopConfig, NonFiniteError, Outcome, Stage, run_stage
from semantic_palette_training.trainers.randomness import step_generator
from semantic_palette_training.trainers.stage_record import read_record
from semantic_palette_training.trainers.stopper import Stopper


class RandomWalk:
    """The smallest stage: one weight that moves by random numbers."""

    name = "walk"
    seed = 5

    def __init__(self, total_steps: int, *, fail_at: int | None = None, signal_at: int | None = None) -> None:
        self.total_steps = total_steps
        self.step_index = 0
        self.weight = torch.zeros(3)
        self.fail_at, self.signal_at = fail_at, signal_at

    @property
    def images_seen(self) -> int:
        return 4 * self.step_index

    def run_step(self) -> dict[str, float | torch.Tensor]:
        self.weight += torch.randn(3, generator=step_generator(self.seed, self.name, self.step_index))
        self.step_index += 1
        if self.step_index == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": float("nan") if self.step_index == self.fail_at else self.weight.sum()}

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "step_index": self.step_index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weight, self.step_index = state["weight"].clone(), state["step_index"]

    def sample_sheet(self) -> NDArray[np.uint8]:
        return np.zeros((4, 4, 3), np.uint8)

    def export_states(self) -> dict[str, dict[str, Any]]:
        return {"walker": {"weights": {"weight": self.weight}, "step": self.step_index}}


ALONE = TrainContext(torch.device("cpu"))
CONFIG = LoopConfig(checkpoint_every=2, log_every=1, sample_every=5)


def run(stage: Stage, directory: Path, *, deadline: float | None = None) -> Outcome:
    with Stopper(deadline) as stopper:
        return run_stage(stage, directory, CONFIG, stopper, ALONE)


def test_a_finished_stage_leaves_model_checkpoint_curves_and_sheets(tmp_path: Path) -> None:
    assert run(RandomWalk(5), tmp_path) is Outcome.FINISHED
    assert load_tensors(tmp_path / "walker.pt")["step"] == 5
    assert (tmp_path / "samples" / "000005.png").exists()
    assert list((tmp_path / "curves").iterdir())
    points = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert [(point["step"], point["images_seen"]) for point in points] == [(i, 4 * i) for i in range(1, 6)]
    assert not list(tmp_path.glob("*.partial"))


def test_a_signal_stops_after_the_step_and_the_same_call_continues(tmp_path: Path) -> None:
    whole = RandomWalk(9)
    run(whole, tmp_path / "whole")
    handler = signal.getsignal(signal.SIGTERM)
    assert run(RandomWalk(9, signal_at=3), tmp_path / "cut") is Outcome.STOPPED
    assert signal.getsignal(signal.SIGTERM) is handler
    continued = RandomWalk(9)
    assert run(continued, tmp_path / "cut") is Outcome.FINISHED
    assert torch.equal(continued.weight, whole.weight)


def test_the_record_adds_up_sessions_and_curves_have_no_point_twice(tmp_path: Path) -> None:
    run(RandomWalk(9, signal_at=3), tmp_path)
    with (tmp_path / "curves.jsonl").open("a") as curves:
        curves.write('{"step": 4, "images_seen": 16, "loss": 0.0}\n{"step": 5, "im')
    run(RandomWalk(9), tmp_path)
    record = read_record(tmp_path)
    assert [(entry["first_step"], entry["last_step"]) for entry in record["sessions"]] == [(0, 3), (3, 9)]
    assert (record["step"], record["total_steps"], record["images_seen"], record["seed"]) == (9, 9, 36, 5)
    assert record["seconds"] == pytest.approx(sum(entry["seconds"] for entry in record["sessions"]), abs=0.11)
    assert record["sessions"][0]["libraries"]["torch"] == torch.__version__
    steps = [json.loads(line)["step"] for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 10))


def test_a_line_of_progress_appears_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(RandomWalk(3), tmp_path)
    assert "walk 3/3 loss=" in capsys.readouterr().err


def test_a_deadline_stops_with_a_checkpoint(tmp_path: Path) -> None:
    assert run(RandomWalk(5), tmp_path, deadline=time.monotonic() - 1) is Outcome.STOPPED
    assert load_tensors(tmp_path / "checkpoint.pt")["state"]["step_index"] == 0


def test_a_non_finite_loss_says_where_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"loss is nan in stage 'walk' at step 4"):
        run(RandomWalk(9, fail_at=4), tmp_path)
    assert load_tensors(tmp_path / "checkpoint.pt")["state"]["step_index"] == 2


def test_a_checkpoint_of_another_stage_is_refused(tmp_path: Path) -> None:
    run(RandomWalk(1), tmp_path)
    other = RandomWalk(1)
    other.name = "other"
    with pytest.raises(CheckpointError, match="holds stage 'walk', not 'other'"):
        run(other, tmp_path)


def test_a_damaged_or_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_tensors(tmp_path / "walker.pt")
    (tmp_path / "walker.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"walker\.pt: not a readable checkpoint"):
        load_tensors(tmp_path / "walker.pt")


def test_saving_replaces_the_whole_file(tmp_path: Path) -> None:
    save_tensors({"value": torch.ones(2)}, tmp_path / "state.pt")
    save_tensors({"value": torch.zeros(2)}, tmp_path / "state.pt")
    assert torch.equal(load_tensors(tmp_path / "state.pt")["value"], torch.zeros(2))
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_weights_that_are_not_finite_do_not_replace_the_checkpoint(tmp_path: Path) -> None:
    run(RandomWalk(2), tmp_path)
    broken = RandomWalk(4)
    step = broken.run_step

    def overflow() -> dict[str, Any]:
        step()
        broken.weight[1] = float("inf")
        return {"loss": 1.0}

    broken.run_step = overflow  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError, match=r"weight is not finite in stage 'walk' after step 4"):
        run(broken, tmp_path)
    assert load_tensors(tmp_path / "checkpoint.pt")["state"]["step_index"] == 2


def test_a_signal_in_the_last_step_is_still_due_afterwards(tmp_path: Path) -> None:
    with Stopper() as stopper:
        assert run_stage(RandomWalk(3, signal_at=3), tmp_path, CONFIG, stopper, ALONE) is Outcome.FINISHED
        assert stopper.due


@pytest.mark.parametrize("field", ["checkpoint_every", "log_every", "sample_every"])
def test_intervals_out_of_range_are_named(tmp_path: Path, field: str) -> None:
    with Stopper() as stopper, pytest.raises(InvalidInputError, match=rf"loop\.{field}"):
        run_stage(RandomWalk(1), tmp_path, LoopConfig(**{field: 0}), stopper, ALONE)
