"""The editor stage: both kinds of edits, resuming bit for bit, accumulation, calibration, sample sheet."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import assert_identical, run
from torch import nn

from semantic_palette.errors import InvalidInputError
from semantic_palette.layout import colourise
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import soften
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.editor import EditorConfig, LayoutEditor
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.edit_batches import EditTask
from semantic_palette_training.trainers.editor import EditorTrainer
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.loop import Outcome
from semantic_palette_training.trainers.phases import Phase

PHASES = (
    Phase(level=0, stable_steps=2, batch_size=4),
    Phase(level=1, fade_steps=2, stable_steps=2, batch_size=4, conditional_weight=2.0),
)
REGION = {"generator": EditorConfig(latent_size=4, widths=(8, 6), spade_hidden=4), "novelty_weight": 3.0}
ADDITIONS = {
    "generator": EditorConfig(latent_size=4, widths=(8, 6), spade_hidden=4, scores="skip", budget="additions"),
    "task": EditTask(crop="none", target_mix="half_soft"),
}
#: A rate whose steps are lost in float32.
STILL = 1e-20
#: Of step 2: the first of two over which level 1 is faded in.
FADE = 0.5


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return streets()


@functools.cache
def streets() -> Scenes:
    return load_scenes(StreetsData(height=8, width=16, count=24), "train")


@functools.cache
def palettes() -> PaletteModel:
    return fit_palette_model(streets().palettes(), PaletteFitConfig(max_components=1)).model


def trainer(scenes: Scenes, micro_batch: int | None = None, **changes: Any) -> EditorTrainer:
    values: dict[str, Any] = {"phases": PHASES, "penalty_every": 2} | REGION | changes
    context = TrainContext(torch.device("cpu"), micro_batch=micro_batch)
    return EditorTrainer(EditorTrainConfig(**values), scenes, scenes, palettes(), context)


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        (REGION, set()),
        (REGION | {"task": EditTask(crop="band"), "merged_entropy_weight": 1.0, "autocast": True}, {"merged_entropy"}),
        (ADDITIONS | {"batch_deviation": True}, {"novelty"}),
        (ADDITIONS | {"novelty": "inverse_difference", "palette_source": "data"}, {"novelty"}),
    ],
)
def test_both_kinds_of_edits_are_trained(scenes: Scenes, changes: dict[str, Any], terms: set[str]) -> None:
    stage = trainer(scenes, **changes)
    before = {name: value.clone() for name, value in stage.generator.state_dict().items()}
    always = {"adversarial", "entropy", "spread", "critic", "kl", "level"}
    for step in range(stage.total_steps):
        metrics = stage.run_step()
        assert set(metrics) == always | terms | ({"penalty"} if step % 2 == 1 else set())
        assert all(math.isfinite(float(value)) for value in metrics.values())
    assert float(metrics["level"]) == 1.0
    assert stage.images_seen == 6 * 4
    for name, value in stage.generator.named_parameters():
        assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize("changes", [REGION, ADDITIONS])
def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(
    scenes: Scenes, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semantic_palette_training.trainers.calibration.CALIBRATION_BATCHES", 3)
    assert run(trainer(scenes, **changes), tmp_path / "whole") is Outcome.FINISHED
    assert run(trainer(scenes, **changes), tmp_path / "cut", until=3) is Outcome.STOPPED
    assert run(trainer(scenes, **changes), tmp_path / "cut") is Outcome.FINISHED
    whole, cut = (load_tensors(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert whole["state"]["step_index"] == cut["state"]["step_index"] == 6
    assert_identical(whole, cut)
    assert_identical(*(load_tensors(tmp_path / name / "editor.pt") for name in ("whole", "cut")))


@pytest.mark.parametrize("changes", [REGION, ADDITIONS])
def test_an_accumulated_batch_has_the_gradient_of_the_whole(scenes: Scenes, changes: dict[str, Any]) -> None:
    """With constant statistics; a batch's own are those of a pass."""
    stages = [trainer(scenes, micro_batch, **changes) for micro_batch in (None, 1)]
    metrics = []
    for stage in stages:
        stage.generator.eval()
        metrics.append(stage.run_step())
    for name in metrics[0]:
        assert float(metrics[0][name]) == pytest.approx(float(metrics[1][name]), rel=1e-4, abs=1e-5), name
    for network in ("generator", "discriminator"):
        for whole, parts in zip(*(getattr(stage, network).parameters() for stage in stages), strict=True):
            if whole.grad is not None:
                torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-3, atol=1e-5)


LITERAL: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "region": (REGION | {"merged_entropy_weight": 0.7}, {"merged_entropy": 0.7}),
    "additions": (ADDITIONS | {"novelty_weight": 5.0}, {"novelty": 5.0}),
    "additions, inverse difference": (
        ADDITIONS | {"novelty": "inverse_difference", "novelty_weight": 5.0},
        {"inverse_difference": 5.0},
    ),
}


@pytest.mark.parametrize("kind", LITERAL)
def test_a_step_leaves_the_gradients_of_section_4_2(scenes: Scenes, kind: str) -> None:
    """Against both losses written out, each network with a pass of its own; in a faded step with a penalty."""
    changes, weights = LITERAL[kind]
    values = changes | {"learning_rate": STILL, "penalty_weight": 7.0, "penalty_every": 3}
    stage, reference = (trainer(scenes, **values) for _ in range(2))
    for each in (stage, reference):
        each.step_index = 2
        # A zero head makes features at level 1 matter to nothing.
        nn.init.normal_(each.generator.to_mask[1].weight, generator=torch.Generator().manual_seed(1))
    assert "penalty" in stage.run_step()
    _literal_gradients(reference, weights)
    for network in ("generator", "discriminator"):
        expected = {name: weight.grad for name, weight in getattr(reference, network).named_parameters()}
        # A bias before a normalisation has no gradient but rounding errors, in proportion to the others'.
        atol = 1e-5 * max(1.0, *(float(gradient.abs().max()) for gradient in expected.values()))
        for name, weight in getattr(stage, network).named_parameters():
            assert weight.grad is not None, name
            torch.testing.assert_close(weight.grad, expected[name], rtol=1e-3, atol=atol, msg=f"{network}.{name}")


def _literal_gradients(stage: EditorTrainer, weights: dict[str, float]) -> None:
    """Sections 3.2, 4.2 and 5.4 for the second phase, whose conditional weight is 2."""
    ((_, batch),) = stage._batches(2, stage.context.shards(4))
    outputs = stage.generator(batch.z_BZ, batch.layout_BKHW, batch.palette_BE, 1, FADE)
    merged, generated, shown = outputs[-1].merged_BKHW, outputs[-1].generated.soft_BKHW, batch.layout_BKHW
    loss = -stage.discriminator(merged, 1, FADE).mean()
    for output in outputs:
        loss = loss + 2.0 * _entropy(output.generated.soft_BKHW)
        loss = loss + 2.0 * (1.0 - output.generated.coverage_BHW).square().mean()
        if "merged_entropy" in weights:
            loss = loss + weights["merged_entropy"] * _entropy(output.merged_BKHW)
    if "novelty" in weights:
        edited = (generated.argmax(dim=1) < generated.shape[1] - 1).float()
        alike = ((merged * shown).sum(dim=1) * edited).sum(dim=(1, 2)) / edited.sum(dim=(1, 2)).clamp_min(1.0)
        loss = loss + weights["novelty"] * alike.mean()
    if "inverse_difference" in weights:
        differences = (merged - shown).square().mean(dim=(1, 2, 3))
        loss = loss + weights["inverse_difference"] * (1.0 / (differences + 1e-5)).mean()
    loss.backward()
    stage.discriminator.zero_grad()
    real, fake = soften(batch.labels_BHW, merged.shape[1], 1.0, 0.5), merged.detach()
    judged = [stage.discriminator(layout, 1, FADE).mean() for layout in (fake, real)]
    mix = batch.penalty_B[:, None, None, None]
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (slope,) = torch.autograd.grad(stage.discriminator(between, 1, FADE).sum(), between, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1.0).square().mean()
    # Every third step, so at three times the weight.
    (judged[0] - judged[1] + 3 * 7.0 * penalty).backward()


def _entropy(layout_BKHW: torch.Tensor) -> torch.Tensor:
    """Of a pixel, on average; finite slopes where a class has no share."""
    return -(layout_BKHW * layout_BKHW.clamp_min(1e-12).log()).sum(dim=1).mean()


def steps(stage: EditorTrainer) -> list[Any]:
    return [stage.run_step() for _ in range(stage.total_steps)]


def test_generated_layouts_come_to_follow_their_palettes(scenes: Scenes) -> None:
    phases = (Phase(level=1, stable_steps=32, batch_size=8, conditional_weight=50.0),)
    generator = EditorConfig(latent_size=4, widths=(16, 16), spade_hidden=8)
    stage = trainer(scenes, phases=phases, generator=generator, learning_rate=5e-3, penalty_every=32)
    history = steps(stage)
    for name, ratio in (("kl", 0.7), ("entropy", 0.9)):
        values = [float(metrics[name]) for metrics in history]
        assert np.mean(values[-8:]) < ratio * np.mean(values[:8]), name


def test_novelty_falls_when_it_is_trained_for(scenes: Scenes) -> None:
    phases = (Phase(level=1, stable_steps=25, batch_size=8),)
    changes: dict[str, Any] = ADDITIONS | {"phases": phases, "novelty_weight": 50.0, "learning_rate": 1e-2}
    stage = trainer(scenes, **changes, penalty_every=25)
    history = [float(metrics["novelty"]) for metrics in steps(stage)]
    assert np.mean(history[-5:]) < 0.8 * np.mean(history[:5])


def test_the_exported_editor_is_rebuilt_from_its_state_and_is_calibrated(scenes: Scenes) -> None:
    stage = trainer(scenes)
    for _ in range(stage.total_steps):
        stage.run_step()
    state = stage.export_states()["editor"]
    assert state["model_config"] == to_plain(stage.config.generator)
    shape = SceneShape(scenes.label_space.num_classes, state["height"], state["width"])
    network = LayoutEditor(from_plain(EditorConfig, state["model_config"]), shape)
    network.load_state_dict(state["weights"])
    network.eval()
    statistics = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    uncalibrated = [module for module in stage.average.average.modules() if isinstance(module, nn.BatchNorm2d)]
    assert statistics
    for new, old in zip(statistics, uncalibrated, strict=True):
        assert not torch.equal(new.running_var, old.running_var)  # type: ignore[arg-type]
    # Over batches like those of the calibration, features are normalised to mean 0 and variance 1.
    means, variances = [], []

    def record(_module: nn.Module, _inputs: Any, features_BCHW: torch.Tensor) -> None:
        means.append(features_BCHW.mean(dim=(0, 2, 3)))
        variances.append(features_BCHW.var(dim=(0, 2, 3)))

    network.base.block.norm_0.normalise.register_forward_hook(record)  # type: ignore[union-attr]
    with torch.no_grad():
        for step in range(40):
            for _, batch in stage._batches(stage.total_steps + step, stage.context.shards(4)):
                network(batch.z_BZ, batch.layout_BKHW, batch.palette_BE)
    torch.testing.assert_close(torch.stack(means).mean(dim=0), torch.zeros(8), atol=0.15, rtol=0)
    torch.testing.assert_close(torch.stack(variances).mean(dim=0), torch.ones(8), atol=0.2, rtol=0)


def test_the_sample_sheet_shows_input_crop_generated_and_merged(scenes: Scenes) -> None:
    stage = trainer(scenes)
    before = torch.get_rng_state()
    sheet = stage.sample_sheet()
    assert torch.equal(torch.get_rng_state(), before)
    assert sheet.shape == (6 * 8, 4 * 16, 3)
    assert sheet.dtype == np.uint8
    shown = sheet.reshape(6, 8, 4, 16, 3)
    coarse = scenes.labels[:, 1::2, 1::2].repeat(2, axis=1).repeat(2, axis=2)
    first = colourise(np.stack([coarse[0], coarse[0][:, ::-1]]), scenes.label_space)
    assert any(np.array_equal(shown[0, :, 0], picture) for picture in first)
    grey = (shown == 128).all(axis=-1)
    assert not grey[:, :, 0].any()
    assert grey[:, :, 1].any()
    # Where the crop is not grey it is the input.
    assert np.array_equal(shown[:, :, 1][~grey[:, :, 1]], shown[:, :, 0][~grey[:, :, 1]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": ()}, r"editor\.phases"),
        ({"penalty_every": 0}, r"editor\.penalty_every"),
        ({"soften_keep": 0.3}, r"editor\.soften_keep.*0\.5 to 1"),
        ({"soften_sigma": 0.0}, r"editor\.soften_sigma"),
        ({"average_decay": 1.0}, r"editor\.average_decay"),
        ({"novelty_weight": -1.0}, r"editor\.novelty_weight"),
        ({"task": EditTask(crop="none")}, r"editor\.task\.crop.*rectangle or band"),
        ({"task": EditTask(crop_sides=(0.5, 0.2))}, r"editor\.task\.crop_sides"),
        (ADDITIONS | {"task": EditTask()}, r"editor\.task\.crop.*none"),
        ({"generator": dataclasses.replace(REGION["generator"], widths=(8,) * 5)}, r"editor\.generator\.widths"),  # type: ignore[type-var]
    ],
)
def test_values_out_of_range_are_named(scenes: Scenes, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        trainer(scenes, **changes)
