"""Started by torchrun in test_distributed.py: trains a recipe a number of times over.

One process is sent SIGTERM in given steps of stages; gradients of the layout stage's first step are kept.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from semantic_palette_training import pipeline
from semantic_palette_training.recipe import load_recipe
from semantic_palette_training.stages import StageInputs
from semantic_palette_training.trainers.context import train_context
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.loop import Stage


def gradients(trainer: LayoutTrainer) -> dict[str, torch.Tensor]:
    """What the last step left in both networks, summed over processes."""
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    return {
        f"{network}.{name}": weight.grad
        for network, module in networks.items()
        for name, weight in module.named_parameters()
        if weight.grad is not None
    }


def main(recipe: Path, directory: Path, runs: int, signals: Mapping[str, int]) -> None:
    build_stage = pipeline.build_stage

    def build(name: str, inputs: StageInputs, directory: Path) -> Stage:
        stage = build_stage(name, inputs, directory)
        step = stage.run_step

        def signalled() -> Any:
            metrics = step()
            if isinstance(stage, LayoutTrainer) and stage.step_index == 1 and inputs.context.is_main:
                torch.save(gradients(stage), directory / "gradients.pt")
            if stage.step_index == signals.get(name) and inputs.context.rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return metrics

        stage.run_step = signalled  # type: ignore[method-assign]
        return stage

    pipeline.build_stage = build
    with train_context("cpu", micro_batch=2) as context:
        outcomes = [pipeline.run_recipe(load_recipe(recipe), directory, context).value for _ in range(runs)]
        if context.is_main:
            print(" ".join(outcomes))


if __name__ == "__main__":
    pairs = [argument.split("=") for argument in sys.argv[4:]]
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), {stage: int(step) for stage, step in pairs})
