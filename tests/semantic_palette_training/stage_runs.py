"""Running a stage in tests: interrupted by a real signal, compared bit for bit."""

import os
import signal
from pathlib import Path
from typing import Any

import torch

from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.loop import LoopConfig, Outcome, Stage, run_stage
from semantic_palette_training.trainers.stopper import Stopper

#: One process on the CPU.
ALONE = TrainContext(torch.device("cpu"))


def run(stage: Stage, directory: Path, *, until: int | None = None) -> Outcome:
    """Run a stage, with SIGTERM sent in step `until`."""
    config = LoopConfig(checkpoint_every=100, log_every=100, sample_every=100)
    step = stage.run_step

    def signalled() -> Any:
        metrics = step()
        if stage.step_index == until:
            os.kill(os.getpid(), signal.SIGTERM)
        return metrics

    stage.run_step = signalled  # type: ignore[method-assign]
    with Stopper() as stopper:
        return run_stage(stage, directory, config, stopper, ALONE)


def assert_identical(first: Any, second: Any, path: str = "") -> None:
    """Every tensor and value of two nested states is the same, bit for bit."""
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key, value in first.items():
            assert_identical(value, second[key], f"{path}.{key}")
    elif isinstance(first, list):
        assert len(first) == len(second), path
        for index, value in enumerate(first):
            assert_identical(value, second[index], f"{path}[{index}]")
    else:
        assert first == second, path
