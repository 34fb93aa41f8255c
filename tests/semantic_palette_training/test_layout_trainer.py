"""The layout stage: schedule, learning, resuming bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.data.scenes import DataConfig, Scenes, load_scenes
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.layout import LayoutPhase, LayoutTrainConfig, LayoutTrainer
from semantic_palette_training.trainers.loop import LoopConfig, Outcome, run_stage

PHASES = (
    LayoutPhase(level=0, stable_steps=3, batch_size=4),
    LayoutPhase(level=1, fade_steps=2, stable_steps=2, batch_size=4, conditional_weight=2.0),
)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(DataConfig(name="streets", height=8, width=16, count=24), "train")


def trainer(scenes: Scenes, **changes: Any) -> LayoutTrainer:
    values: dict[str, Any] = {
        "phases": PHASES,
        "latent_size": 4,
        "widths": (8, 6),
        "scores": "skip",
        "batch_deviation": True,
        "penalty_every": 2,
    }
    palettes = fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model
    return LayoutTrainer(LayoutTrainConfig(**(values | changes)), scenes, palettes)


def test_the_schedule_is_a_function_of_the_step(scenes: Scenes) -> None:
    stage = trainer(scenes)
    assert stage.total_steps == 7
    positions = [stage.position(step) for step in range(8)]
    assert [phase.level for phase, _ in positions] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert [fade for _, fade in positions] == [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(scenes: Scenes, tmp_path: Path) -> None:
    config = LoopConfig(checkpoint_every=100, log_every=100, sample_every=100)
    run_stage(trainer(scenes), tmp_path / "whole", config, seed=2)
    halfway = trainer(scenes)
    step = halfway.run_step

    def stop_after_four() -> dict[str, Any]:
        metrics = step()
        if halfway.step_index == 4:
            halfway.total_steps = 4
        return metrics

    halfway.run_step = stop_after_four  # type: ignore[method-assign]
    run_stage(halfway, tmp_path / "cut", config, seed=2)
    assert run_stage(trainer(scenes), tmp_path / "cut", config, seed=2) is Outcome.FINISHED
    whole, cut = (load_tensors(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert whole["state"]["step_index"] == cut["state"]["step_index"] == 7
    for network in ("generator", "discriminator", "average"):
        for key, value in whole["state"][network].items():
            assert torch.equal(value, cut["state"][network][key]), f"{network}.{key}"


def test_the_conditional_losses_fall(scenes: Scenes) -> None:
    phases = (LayoutPhase(level=1, stable_steps=80, batch_size=16, conditional_weight=50.0),)
    stage = trainer(scenes, phases=phases, widths=(24, 24), learning_rate=1e-2)
    history = [
        sum(float(value) for key, value in stage.run_step().items() if key in ("entropy", "spread")) for _ in range(80)
    ]
    assert np.mean(history[-5:]) < 0.8 * np.mean(history[:5])


def test_the_sample_sheet_leaves_the_random_state_alone(scenes: Scenes) -> None:
    stage = trainer(scenes)
    before = torch.get_rng_state()
    sheet = stage.sample_sheet()
    assert sheet.shape == (4 * 8, 4 * 16, 3)
    assert sheet.dtype == np.uint8
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "phases", [(), (LayoutPhase(level=0),), (LayoutPhase(level=1), LayoutPhase(level=0)), (LayoutPhase(level=2),)]
)
def test_phases_that_do_not_fit_are_named(scenes: Scenes, phases: tuple[LayoutPhase, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"layout\.phases"):
        trainer(scenes, phases=phases)


def test_data_of_another_size_is_named() -> None:
    with pytest.raises(InvalidInputError, match="8x16"):
        trainer(load_scenes(DataConfig(name="streets", height=16, width=32, count=8), "train"))
