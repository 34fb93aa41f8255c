"""Runs one training stage: resume, checkpoints, deadline and signals, finite losses, curves and sample sheets."""

import math
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
from rich.table import Column
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from semantic_palette.errors import SemanticPaletteError
from semantic_palette_training.config import require_at_least
from semantic_palette_training.trainers.checkpoint import load_checkpoint, save_checkpoint, save_tensors
from semantic_palette_training.trainers.stopper import Stopper


class NonFiniteError(SemanticPaletteError):
    """A loss or a weight became NaN or infinite; the message says which, in which stage and at which step."""


class Stage(Protocol):
    """One thing to train. Its randomness comes from torch's global generator or is keyed by `step_index` alone."""

    name: str
    seed: int
    """Of torch's global generator when the stage starts."""
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
        """What the exporter needs: `model_config`, averaged `weights`, `label_space`, `height`, `width`, `step`,
        `total_steps`. Must not draw from torch's global generator."""


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


def run_stage(stage: Stage, directory: Path, config: LoopConfig, stopper: Stopper) -> Outcome:
    """Train `stage` until it is done or `stopper` is due; either way a checkpoint is left.

    A checkpoint already in `directory` is continued from, bit for bit on CPU.

    Args:
        stage: what to train.
        directory: receives `checkpoint.pt`, `model.pt`, `samples/` and the TensorBoard curves.
        config: intervals.
        stopper: entered by the caller; asked before every step.

    Raises:
        NonFiniteError: a logged scalar or a weight is NaN or infinite; the last checkpoint is from before it.
        CheckpointError: the checkpoint is of another stage or cannot be read.
        InvalidInputError: an interval is below 1.
    """
    for field in ("checkpoint_every", "log_every", "sample_every"):
        require_at_least(f"loop.{field}", getattr(config, field), 1)
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(stage.seed)
    load_checkpoint(stage, directory)
    with SummaryWriter(str(directory / "curves")) as curves, _progress(stage) as advance:
        while stage.step_index < stage.total_steps and not stopper.due:
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
        if stage.step_index < stage.total_steps:
            return Outcome.STOPPED
        _save_sheet(stage, directory)
    return Outcome.FINISHED


def _finite(stage: Stage, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
    """The metrics as floats, or an error that says where training broke."""
    values = {key: float(value) for key, value in metrics.items()}
    for key, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{key} is {value} in stage {stage.name!r} at step {stage.step_index}")
    return values


def _save(stage: Stage, directory: Path) -> None:
    """Write checkpoint and model, unless that would replace good weights by bad ones."""
    exported = stage.export_state()
    for name, tensor in _tensors(stage.state_dict(), ""):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NonFiniteError(f"{name} is not finite in stage {stage.name!r} after step {stage.step_index}")
    save_checkpoint(stage, directory)
    save_tensors(exported, directory / "model.pt")


def _tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a nested state with its path."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{path}[{index}]")


def _save_sheet(stage: Stage, directory: Path) -> None:
    path = directory / "samples" / f"{stage.step_index:06d}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(stage.sample_sheet()).save(path)


@contextmanager
def _progress(stage: Stage) -> Iterator[Any]:
    """A progress bar; yields a function that advances it and shows the newest metrics."""
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=len(stage.name))),
        BarColumn(bar_width=10),
        TextColumn("{task.completed}/{task.total}", table_column=Column(no_wrap=True, min_width=11)),
        TimeElapsedColumn(),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[metrics]}", table_column=Column(no_wrap=True, ratio=1)),
    )
    with Progress(*columns, expand=True) as progress:
        task = progress.add_task(stage.name, total=stage.total_steps, completed=stage.step_index, metrics="")

        def advance(metrics: Mapping[str, float]) -> None:
            text = " ".join(f"{key}={value:.3f}" for key, value in metrics.items())
            progress.update(task, completed=stage.step_index, metrics=text)

        yield advance
