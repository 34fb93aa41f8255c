"""Started by torchrun in test_distributed.py: trains a recipe; one process is sent SIGTERM in a given step."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from semantic_palette_training import pipeline
from semantic_palette_training.recipe import load_recipe
from semantic_palette_training.trainers.context import train_context
from semantic_palette_training.trainers.loop import Stage


def main(recipe: Path, directory: Path, signal_at: int) -> None:
    build_stage = pipeline.build_stage

    def build(name: str, inputs: pipeline.StageInputs) -> Stage:
        stage = build_stage(name, inputs)
        step = stage.run_step

        def signalled() -> Any:
            metrics = step()
            if stage.step_index == signal_at and inputs.context.rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return metrics

        stage.run_step = signalled  # type: ignore[method-assign]
        return stage

    pipeline.build_stage = build
    with train_context("cpu", micro_batch=2) as context:
        outcome = pipeline.run_recipe(load_recipe(recipe), directory, context)
        if context.is_main:
            print(outcome.value)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
