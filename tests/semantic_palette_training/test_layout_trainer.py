"""The layout stage: schedule, learning, resuming bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import assert_identical, run

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.layout import LayoutPhase, LayoutTrainConfig, LayoutTrainer
from semantic_palette_training.trainers.loop import Outcome

PHASES = (
    LayoutPhase(level=0, stable_steps=3, batch_size=4),
    LayoutPhase(level=1, fade_steps=2, stable_steps=2, batch_size=4, conditional_weight=2.0),
)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(StreetsData(height=8, width=16, count=24), "train")


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


@pytest.mark.parametrize("autocast", [False, True])
def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(scenes: Scenes, tmp_path: Path, autocast: bool) -> None:
    assert run(trainer(scenes, autocast=autocast), tmp_path / "whole") is Outcome.FINISHED
    assert run(trainer(scenes, autocast=autocast), tmp_path / "cut", until=4) is Outcome.STOPPED
    assert run(trainer(scenes, autocast=autocast), tmp_path / "cut") is Outcome.FINISHED
    whole, cut = (load_tensors(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert whole["state"]["step_index"] == cut["state"]["step_index"] == 7
    assert_identical(whole, cut)


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
        trainer(load_scenes(StreetsData(height=16, width=32, count=8), "train"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalty_every": 0}, r"layout\.penalty_every"),
        ({"soften_keep": 0.3}, r"layout\.soften_keep.*0\.5 to 1"),
        ({"resolution": (4, 6)}, r"layout\.resolution"),
        ({"phases": (LayoutPhase(level=1, batch_size=0),)}, r"layout\.phases\[0\]\.batch_size"),
    ],
)
def test_values_out_of_range_are_named(scenes: Scenes, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        trainer(scenes, **changes)
