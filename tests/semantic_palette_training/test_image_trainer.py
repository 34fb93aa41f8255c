"""The image stage: phases, what an update touches, learning, resuming bit for bit, appearance codes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import assert_identical, run

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.image_generator import ImageGenerator, ImageGeneratorConfig
from semantic_palette_training.trainers.appearance import appearance_codes
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.image import CALIBRATION_BATCHES, ImagePhase, ImageTrainConfig, ImageTrainer
from semantic_palette_training.trainers.loop import Outcome

PHASES = (ImagePhase(height=8, steps=2, batch_size=3), ImagePhase(height=16, steps=3, batch_size=2))


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(StreetsData(height=16, width=32, count=12), "train")


def trainer(scenes: Scenes, **changes: Any) -> ImageTrainer:
    values: dict[str, Any] = {
        "phases": PHASES,
        "latent_size": 8,
        "widths": (8, 8, 6),
        "discriminator_widths": (8, 8),
        "max_shift": 2,
    }
    return ImageTrainer(ImageTrainConfig(**(values | changes)), scenes, scenes)


def test_the_config_survives_plain_values(scenes: Scenes) -> None:
    config = trainer(scenes).config
    assert from_plain(ImageTrainConfig, to_plain(config)) == config


def test_the_first_phase_trains_the_leading_levels_only(scenes: Scenes) -> None:
    stage = trainer(scenes)
    before = {name: weight.clone() for name, weight in stage.generator.named_parameters()}
    for _ in range(2):
        stage.run_step()
    changed = {name for name, weight in stage.generator.named_parameters() if not torch.equal(weight, before[name])}
    assert any(name.startswith("levels.1.") for name in changed)
    assert not any(name.startswith("levels.2.") for name in changed)
    stage.run_step()
    assert not torch.equal(stage.generator.levels[2].to_rgb.weight, before["levels.2.to_rgb.weight"])


def test_every_step_reports_finite_losses(scenes: Scenes) -> None:
    stage = trainer(scenes, norm="spade", spade_hidden=8)
    for step in range(1, stage.total_steps + 1):
        metrics = stage.run_step()
        assert stage.step_index == step
        assert set(metrics) == {"d_real", "d_fake", "label_mix", "g_adversarial", "g_anchor"}
        assert all(np.isfinite(float(value)) for value in metrics.values())


def test_learning_rates_cool_down_to_zero(scenes: Scenes) -> None:
    stage = trainer(scenes, cool_down=0.5, learning_rate=1.0)
    rates = []
    for step in range(stage.total_steps + 1):
        stage.step_index = step
        stage.set_learning_rates()
        rates.append(stage.generator_optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.8, 0.4, 0.0])


def test_a_scene_and_its_labels_move_together(scenes: Scenes) -> None:
    """With images painted in the colour of their class, augmentation and shrinking must keep both in step."""
    painted = Scenes(
        scenes.labels, np.repeat(scenes.labels[..., None] * 20, 3, axis=3), scenes.label_space, scenes.names
    )
    stage = trainer(painted, phases=(ImagePhase(height=16, steps=1, batch_size=12),), max_shift=5)
    batch = stage.batch(stage.step_index)
    colours = ((batch.images + 1.0) * 127.5).round()
    assert torch.equal(colours[:, 0], batch.labels.float() * 20)
    unmoved = trainer(painted, phases=stage.config.phases, max_shift=0).batch(0)
    assert not torch.equal(unmoved.labels, batch.labels)


def test_latents_carry_the_appearance_of_their_scenes(scenes: Scenes) -> None:
    stage = trainer(scenes, appearance_size=4, phases=(ImagePhase(height=16, steps=1, batch_size=12),))
    codes = appearance_codes(scenes, 4)
    latents = stage.batch(stage.step_index).latents
    assert {tuple(row) for row in latents[:, :4].tolist()} == {tuple(row) for row in codes.tolist()}
    assert latents.shape == (12, 8)


def test_appearance_codes_follow_the_light_and_not_the_layout() -> None:
    draw = np.random.default_rng(0)
    scenes = load_scenes(StreetsData(height=16, width=32, count=40), "train")
    brightness = draw.uniform(-40, 40, 40)
    class_colours = draw.uniform(60, 190, (12, 3))
    images = (class_colours[scenes.labels] + brightness[:, None, None, None]).astype(np.uint8)
    codes = appearance_codes(Scenes(scenes.labels, images, scenes.label_space, scenes.names), 2)
    correlation = np.corrcoef(codes[:, 0], brightness)[0, 1]
    assert abs(correlation) > 0.95
    np.testing.assert_allclose(codes.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(codes.std(axis=0), 1.0, atol=0.1)


def test_appearance_codes_are_at_most_six(scenes: Scenes) -> None:
    assert appearance_codes(scenes, 0).shape == (12, 0)
    with pytest.raises(InvalidInputError, match="appearance_size"):
        appearance_codes(scenes, 7)


def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(scenes: Scenes, tmp_path: Path) -> None:
    assert run(trainer(scenes), tmp_path / "whole") is Outcome.FINISHED
    assert run(trainer(scenes), tmp_path / "parts", until=3) is Outcome.STOPPED
    assert run(trainer(scenes), tmp_path / "parts") is Outcome.FINISHED
    for file in ("checkpoint.pt", "model.pt"):
        whole, parts = (load_tensors(tmp_path / name / file) for name in ("whole", "parts"))
        assert_identical(whole, parts)


def test_the_exported_generator_has_the_statistics_of_its_own_features(scenes: Scenes) -> None:
    stage = trainer(scenes)
    for _ in range(stage.total_steps):
        stage.run_step()
    before = torch.get_rng_state()
    network = stage.calibrated_average()
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    assert_identical(network.state_dict(), stage.calibrated_average().state_dict())
    seen = []
    norm = network.levels[0].norm_0.normalise
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(stage.seed)
        for step in range(stage.total_steps, stage.total_steps + CALIBRATION_BATCHES):
            batch = stage.batch(step)
            network(batch.labels, batch.latents)
    torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(dim=0), atol=1e-4, rtol=1e-4)


def test_the_sheet_draws_nothing_from_the_global_generator(scenes: Scenes) -> None:
    stage = trainer(scenes)
    stage.run_step()
    state = torch.get_rng_state()
    sheet = stage.sample_sheet()
    assert torch.equal(torch.get_rng_state(), state)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (6 * 16, 4 * 32, 3)
    np.testing.assert_array_equal(sheet[:16, -32:], scenes.images[0])


def test_the_exported_state_rebuilds_the_averaged_generator(scenes: Scenes) -> None:
    stage = trainer(scenes)
    stage.run_step()
    state = stage.export_state()
    rebuilt = ImageGenerator(from_plain(ImageGeneratorConfig, state["model_config"])).eval()
    rebuilt.load_state_dict(state["weights"])
    labels, z = torch.from_numpy(scenes.labels[:1]), torch.randn(1, 8)
    torch.testing.assert_close(rebuilt(labels, z), stage.average.average(labels, z))
    assert (state["height"], state["width"], state["step"]) == (16, 32, 1)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((), "last phase"),
        ((ImagePhase(height=8, steps=1, batch_size=1),), "last phase"),
        ((ImagePhase(height=6, steps=1, batch_size=1), PHASES[1]), r"phases\[0\].height"),
        ((ImagePhase(height=16, steps=0, batch_size=1),), r"phases\[0\].steps"),
    ],
)
def test_phases_that_do_not_fit_are_errors(scenes: Scenes, phases: tuple[ImagePhase, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        trainer(scenes, phases=phases)


@pytest.mark.parametrize(
    ("field", "value"), [("appearance_size", 9), ("max_shift", 32), ("cool_down", 1.5), ("average_decay", -0.1)]
)
def test_values_out_of_range_are_errors_that_name_the_field(scenes: Scenes, field: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"image.{field}"):
        trainer(scenes, **{field: value})


def test_it_learns_the_colours_of_classes(scenes: Scenes) -> None:
    phases = (ImagePhase(height=16, steps=60, batch_size=4),)
    stage = trainer(scenes, phases=phases, learning_rate=5e-3, cool_down=0.0)
    anchors = [float(stage.run_step()["g_anchor"]) for _ in range(60)]
    assert np.mean(anchors[-10:]) < 0.6 * np.mean(anchors[:5])
