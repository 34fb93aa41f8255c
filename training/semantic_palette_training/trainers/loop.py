"""Runs one training stage: resume, checkpoints, deadline and signals, finite losses, curves and sample sheets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from semantic_palette.errors import SemanticPaletteError
from semantic_palette_training.config import require_at_least
from semantic_palette_training.trainers.checkpoint import load_checkpoint, save_checkpoint, save_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.curves import Curves
from semantic_palette_training.trainers.progress import stage_progress
from semantic_palette_training.trainers.stage_record import RECORD_FILE, StageRecord
from semantic_palette_training.trainers.stopper import Stopper


class NonFiniteError(SemanticPaletteError):
    """A loss or a weight became NaN or infinite; the message says which, in which stage and at which step."""


class Stage(Protocol):
    """One thing to train. Its randomness is keyed by seed and step alone (trainers/randomness.py)."""

    name: str
    seed: int
    total_steps: int
    step_index: int

    @property
    def images_seen(self) -> int:
        """Real samples that the steps so far have taken, over all processes."""

    def run_step(self) -> Mapping[str, float | Tensor]:
        """Do one update, advance `step_index` by one and return scalars to log: this process's part of their sum."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: networks, averages, optimisers, step."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""

    def sample_sheet(self) -> NDArray[np.uint8]:
        """A picture [H, W, 3] of what the stage makes now."""

    def export_states(self) -> dict[str, dict[str, Any]]:
        """What the exporter needs, by kind of model (`layout`, `editor`, `image`): `model_config`, averaged `weights`,
        `label_space`, `height`, `width`, `step`, `total_steps`. Called on every process."""


@dataclass(kw_only=True, slots=True)
class LoopConfig:
    """How often the loop does what is not training."""

    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between points of the curves; losses are checked then, so that other steps do not wait for the device."""
    sample_every: int = 500
    """Steps between sample sheets."""


class Outcome(Enum):
    """How a call of `run_stage` ended."""

    FINISHED = "finished"
    STOPPED = "stopped"


def run_stage(stage: Stage, directory: Path, config: LoopConfig, stopper: Stopper, context: TrainContext) -> Outcome:
    """Train `stage` until it is done or `stopper` is due on any process; either way a checkpoint is left.

    A checkpoint already in `directory` is continued from, bit for bit on CPU.

    Args:
        stage: what to train.
        directory: receives `checkpoint.pt`, `<kind>.pt` of every model, `record.json`, `samples/` and the curves.
        config: intervals.
        stopper: entered by the caller; asked before every step.
        context: the processes; the main one writes.

    Raises:
        NonFiniteError: a scalar or a weight is NaN or infinite; the last checkpoint is from before it.
        CheckpointError: the checkpoint is of another stage or cannot be read.
        InvalidInputError: an interval is below 1.
    """
    for field in ("checkpoint_every", "log_every", "sample_every"):
        require_at_least(f"loop.{field}", getattr(config, field), 1)
    if context.is_main:
        directory.mkdir(parents=True, exist_ok=True)
    load_checkpoint(stage, directory)
    context.barrier()  # The main process may replace the checkpoint only when all have read it.
    if stage.step_index >= stage.total_steps and (directory / RECORD_FILE).exists():
        return Outcome.FINISHED
    record = StageRecord(directory, context, stage.step_index)
    saver = _Saver(stage, directory, record, context)
    with (
        Curves(directory, stage.step_index, enabled=context.is_main) as curves,
        stage_progress(stage.name, stage.total_steps, stage.step_index, enabled=context.is_main) as advance,
    ):
        while stage.step_index < stage.total_steps and not context.any(stopper.due):
            metrics = stage.run_step()
            if stage.step_index % config.log_every == 0 or stage.step_index == stage.total_steps:
                values = _finite(stage, context.sum_metrics(metrics))
                advance(stage.step_index, values)
                curves.add(stage.step_index, stage.images_seen, values)
            if stage.step_index % config.sample_every == 0:
                saver.save_sheet()
            if stage.step_index % config.checkpoint_every == 0 and stage.step_index < stage.total_steps:
                saver.save()
        saver.save()
        if stage.step_index < stage.total_steps:
            return Outcome.STOPPED
        saver.save_sheet()
    return Outcome.FINISHED


def _finite(stage: Stage, metrics: Mapping[str, float]) -> Mapping[str, float]:
    """The metrics, or an error that says where training broke; every process sees the same ones."""
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{key} is {value} in stage {stage.name!r} at step {stage.step_index}")
    return metrics


class _Saver:
    """Writes what a stage leaves behind; every process takes part in making it, the main one writes."""

    def __init__(self, stage: Stage, directory: Path, record: StageRecord, context: TrainContext) -> None:
        self._stage, self._directory, self._record, self._context = stage, directory, record, context

    def save(self) -> None:
        """Write checkpoint, models and record, unless that would replace good weights by bad ones."""
        stage = self._stage
        exported = stage.export_states()
        for name, tensor in _tensors(stage.state_dict(), ""):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NonFiniteError(f"{name} is not finite in stage {stage.name!r} after step {stage.step_index}")
        if self._context.is_main:
            save_checkpoint(stage, self._directory)
            for kind, state in exported.items():
                save_tensors(state, self._directory / f"{kind}.pt")
            self._record.write(stage.seed, stage.step_index, stage.total_steps, stage.images_seen)
        self._context.barrier()

    def save_sheet(self) -> None:
        """Write a sample sheet."""
        if self._context.is_main:
            path = self._directory / "samples" / f"{self._stage.step_index:06d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(self._stage.sample_sheet()).save(path)


def _tensors(value: Any, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a nested state with its path."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{path}[{index}]")
