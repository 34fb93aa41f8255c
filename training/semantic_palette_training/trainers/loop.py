"""Runs one training stage: resume, checkpoints, deadline and signals, finite losses, curves and sample sheets."""

import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from semantic_palette_training.trainers.checkpoint import load_checkpoint, save_checkpoint, save_tensors


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message says which, in which stage and at which step."""


class Stage(Protocol):
    """One thing to train. Its randomness comes from torch's global generator or is keyed by `step_index` alone."""

    name: str
    total_steps: int
    step_index: int

    def run_step(self) -> Mapping[str, float | Tensor]:
        """Do one update, advance `step_index` by one and return scalars to log."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: networks, averages, optimisers, step."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""

    def sample_sheet(self) -> NDArray[np.uint8]:
        """A picture [H, W, 3] of what the stage makes now. Must not draw from torch's global generator."""

    def export_state(self) -> dict[str, Any]:
        """What the exporter needs: `model_config`, averaged `weights`, `label_space`, `height`, `width`, `step`."""


@dataclass(kw_only=True, slots=True)
class LoopConfig:
    """How often the loop does what is not training."""

    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between points of the curves."""
    sample_every: int = 500
    """Steps between sample sheets."""


class Outcome(Enum):
    """How a call of `run_stage` ended."""

    FINISHED = "finished"
    STOPPED = "stopped"


@contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Collect SIGTERM and SIGINT instead of dying from them: the list holds the names of those received."""
    received: list[str] = []
    previous = {
        number: signal.signal(number, lambda n, _frame: received.append(signal.Signals(n).name))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_stage(
    stage: Stage, directory: Path, config: LoopConfig, *, seed: int = 0, deadline: float | None = None
) -> Outcome:
    """Train `stage` until it is done, `deadline` passes or a signal arrives; either way a checkpoint is left.

    A checkpoint already in `directory` is continued from, bit for bit on CPU.

    Args:
        stage: what to train.
        directory: receives `checkpoint.pt`, `model.pt`, `samples/` and the TensorBoard curves.
        config: intervals.
        seed: of torch's global generator, for a stage that starts.
        deadline: `time.monotonic()` after which no further step begins.

    Raises:
        NonFiniteLossError: a logged scalar is NaN or infinite; the last checkpoint is from before it.
        CheckpointError: the checkpoint is of another stage or cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    load_checkpoint(stage, directory)
    with (
        stop_requests() as received,
        SummaryWriter(str(directory / "curves")) as curves,
        _progress(stage) as advance,
    ):
        while stage.step_index < stage.total_steps:
            if received or (deadline is not None and time.monotonic() >= deadline):
                _save(stage, directory)
                return Outcome.STOPPED
            metrics = _finite(stage, stage.run_step())
            advance(metrics)
            if stage.step_index % config.log_every == 0:
                for key, value in metrics.items():
                    curves.add_scalar(f"{stage.name}/{key}", value, stage.step_index)
            if stage.step_index % config.sample_every == 0:
                _save_sheet(stage, directory)
            if stage.step_index % config.checkpoint_every == 0:
                _save(stage, directory)
        _save(stage, directory)
        _save_sheet(stage, directory)
    return Outcome.FINISHED


def _finite(stage: Stage, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
    """The metrics as floats, or an error that says where training broke."""
    values = {key: float(value) for key, value in metrics.items()}
    for key, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteLossError(f"{key} is {value} in stage {stage.name!r} at step {stage.step_index}")
    return values


def _save(stage: Stage, directory: Path) -> None:
    save_checkpoint(stage, directory)
    save_tensors(stage.export_state(), directory / "model.pt")


def _save_sheet(stage: Stage, directory: Path) -> None:
    path = directory / "samples" / f"{stage.step_index:06d}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(stage.sample_sheet()).save(path)


@contextmanager
def _progress(stage: Stage) -> Iterator[Any]:
    """A progress bar; yields a function that advances it and shows the newest metrics."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(stage.name, total=stage.total_steps, completed=stage.step_index, metrics="")

        def advance(metrics: Mapping[str, float]) -> None:
            text = " ".join(f"{key}={value:.3f}" for key, value in metrics.items())
            progress.update(task, completed=stage.step_index, metrics=text)

        yield advance
