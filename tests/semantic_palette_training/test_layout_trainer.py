"""The layout stage: schedule, learning, every variant of the paper, accumulation, resuming bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import ALONE, assert_identical, run

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.soften import soften
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.losses.conditional import conditional_losses
from semantic_palette_training.losses.wgan import gradient_penalty
from semantic_palette_training.models.progressive import LayoutGenerator, ProgressiveConfig
from semantic_palette_training.palette_fit import PaletteFitConfig, fit_palette_model
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.layout import LayoutTrainer
from semantic_palette_training.trainers.layout_config import LayoutTrainConfig
from semantic_palette_training.trainers.loop import Outcome
from semantic_palette_training.trainers.phases import Phase

PHASES = (
    Phase(level=0, stable_steps=3, batch_size=4),
    Phase(level=1, fade_steps=2, stable_steps=2, batch_size=4, conditional_weight=2.0),
)
#: Every row of Table 4 and the baselines (changes of the trainer's config, changes of the generator's).
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SAA alone": (
        {"multi_scale": False, "real": "hard", "fake": "gumbel", "palette_source": "data"},
        {"fusion": False},
    ),
    "with fusion": ({"multi_scale": False, "real": "hard", "fake": "gumbel", "palette_source": "data"}, {}),
    "with multi-scale losses": ({"real": "hard", "fake": "gumbel", "palette_source": "data"}, {}),
    "with soft real layouts": ({"palette_source": "data"}, {}),
    "the paper": ({}, {}),
    "baseline 1": ({"conditional": "matching"}, {"conditioning": "input", "fusion": False}),
    "baseline 2": (
        {"conditional": "none"},
        {"conditioning": "input", "fusion": False, "discriminator_conditioning": True},
    ),
    "SB-GAN": (
        {"conditional": "none", "real": "hard", "fake": "gumbel"},
        {"conditioning": "none", "fusion": False},
    ),
    "three sweeps": ({}, {"sinkhorn_steps": 3, "temperature": 0.5}),
    "skip scores": ({"penalty_every": 2}, {"scores": "skip", "batch_deviation": True}),
    "bfloat16": ({"autocast": True}, {}),
}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(StreetsData(height=8, width=16, count=24), "train")


def trainer(
    scenes: Scenes, generator: dict[str, Any] | None = None, context: TrainContext = ALONE, **changes: Any
) -> LayoutTrainer:
    sizes: dict[str, Any] = {"latent_size": 4, "widths": (8, 6)}
    config = LayoutTrainConfig(
        **({"phases": PHASES, "generator": ProgressiveConfig(**(sizes | (generator or {})))} | changes)
    )
    palettes = fit_palette_model(scenes.palettes(), PaletteFitConfig(max_components=1)).model
    return LayoutTrainer(config, scenes, palettes, context)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_trains_all_of_both_networks(scenes: Scenes, variant: str) -> None:
    changes, generator = VARIANTS[variant]
    stage, begun = (trainer(scenes, generator, **changes) for _ in range(2))
    for _ in range(stage.total_steps):
        metrics = stage.run_step()
        assert all(np.isfinite(float(value)) for value in metrics.values()), metrics
    for network in ("generator", "discriminator"):
        start = getattr(begun, network).state_dict()
        now = getattr(stage, network).state_dict()
        assert all(weight.isfinite().all() for weight in now.values())
        same = [name for name, weight in now.items() if torch.equal(weight, start[name])]
        # A constant added to all scores changes neither objective.
        assert same == (["dense.bias"] if network == "discriminator" else []), network


@pytest.mark.parametrize("variant", ["the paper", "SB-GAN", "skip scores", "bfloat16"])
def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(scenes: Scenes, tmp_path: Path, variant: str) -> None:
    changes, generator = VARIANTS[variant]
    assert run(trainer(scenes, generator, **changes), tmp_path / "whole") is Outcome.FINISHED
    assert run(trainer(scenes, generator, **changes), tmp_path / "cut", until=4) is Outcome.STOPPED
    assert run(trainer(scenes, generator, **changes), tmp_path / "cut") is Outcome.FINISHED
    whole, cut = (load_tensors(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert whole["state"]["step_index"] == 7
    assert_identical(whole, cut)


@pytest.mark.parametrize("variant", ["the paper", "SB-GAN", "baseline 2"])
def test_a_step_is_a_generator_update_and_a_critic_update_on_the_same_layouts(scenes: Scenes, variant: str) -> None:
    """Against the two updates written out, each network with a pass of its own."""
    changes, generator = VARIANTS[variant]
    stage, reference = (trainer(scenes, generator, **changes) for _ in range(2))
    stage.step_index = reference.step_index = 4
    stage.run_step()
    _literal_step(reference)
    for network in ("generator", "discriminator"):
        expected = getattr(reference, network).state_dict()
        for name, weight in getattr(stage, network).state_dict().items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=2e-5, msg=f"{network}.{name}")


def _literal_step(stage: LayoutTrainer) -> None:
    """Section 3.2 for a stage in the second phase: WGAN-GP with weight 10, entropy and spread at every level."""
    draw, (shard,) = stage.batches.draw(stage.step_index), ALONE.shards(4)
    palettes, z = stage.batches.palettes(draw, shard), stage.batches.latents(draw, shard)
    outputs = stage.generator(z, palettes, 1, 1.0)
    fake = stage.batches.fake(draw, shard, outputs[-1].soft_BKHW)
    loss = -stage.discriminator(fake, 1, 1.0, palettes).mean()
    if stage.config.conditional == "saa_losses":
        loss = loss + 2.0 * sum(conditional_losses(outputs))
    stage.optimisers[0].zero_grad()
    loss.backward()
    stage.optimisers[0].step()
    real, fake = stage.batches.real(draw, shard, 1), fake.detach()
    shares = real.mean(dim=(2, 3))
    stage.optimisers[1].zero_grad()
    loss = stage.discriminator(fake, 1, 1.0, palettes).mean() - stage.discriminator(real, 1, 1.0, shares).mean()
    mix = stage.batches.mix(draw, shard)
    penalty = gradient_penalty(lambda x: stage.discriminator(x, 1, 1.0, shares), real, fake, mix)
    (loss + 10.0 * penalty).backward()
    stage.optimisers[1].step()


@pytest.mark.parametrize("variant", ["the paper", "baseline 2"])
def test_accumulated_gradients_are_those_of_the_whole_batch(scenes: Scenes, variant: str) -> None:
    changes, generator = VARIANTS[variant]
    whole = trainer(scenes, generator, **changes)
    parts = trainer(scenes, generator, TrainContext(torch.device("cpu"), micro_batch=2), **changes)
    whole.step_index = parts.step_index = 3
    expected, metrics = whole.run_step(), parts.run_step()
    for name, value in expected.items():
        torch.testing.assert_close(metrics[name], value, rtol=1e-4, atol=1e-5, msg=name)
    for network in (whole.generator, whole.discriminator):
        other = parts.generator if network is whole.generator else parts.discriminator
        for (name, weight), match in zip(network.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(match.grad, weight.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_divide_a_step_between_them(scenes: Scenes) -> None:
    whole = trainer(scenes)
    parts = [trainer(scenes, context=TrainContext(torch.device("cpu"), rank, 2)) for rank in range(2)]
    draw = whole.batches.draw(0)
    for part in parts:
        assert_identical(vars_of(part.batches.draw(0)), vars_of(draw))
    rows = [part.context.shards(4)[0] for part in parts]
    real = [part.batches.real(draw, shard, 0) for part, shard in zip(parts, rows, strict=True)]
    assert torch.equal(torch.cat(real), whole.batches.real(draw, ALONE.shards(4)[0], 0))


def vars_of(draw: Any) -> dict[str, Any]:
    return {name: getattr(draw, name) for name in draw.__slots__}


def test_real_layouts_are_softened_or_one_hot_copies_of_scenes_and_mirrors(scenes: Scenes) -> None:
    soft, hard = (trainer(scenes, real=kind) for kind in ("soft", "hard"))
    draw, (shard,) = soft.batches.draw(3), ALONE.shards(4)
    labels = torch.from_numpy(scenes.labels[draw.real_B.numpy()])
    labels = torch.where(draw.mirrored_B[:, None, None], labels.flip(2), labels)
    assert torch.equal(hard.batches.real(draw, shard, 1).argmax(dim=1), labels.long())
    assert set(hard.batches.real(draw, shard, 1).unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(soft.batches.real(draw, shard, 1), soften(labels, 12, 1.0, 0.5))
    small = soft.batches.real(draw, shard, 0)
    labels = torch.from_numpy(scenes.labels[draw.real_B.numpy(), 1::2, 1::2])
    labels = torch.where(draw.mirrored_B[:, None, None], labels.flip(2), labels)
    assert torch.equal(small.argmax(dim=1), labels.long())
    assert len({bool(flag) for step in range(8) for flag in soft.batches.draw(step).mirrored_B}) == 2


def test_palettes_come_from_the_model_or_from_real_layouts(scenes: Scenes) -> None:
    real = torch.from_numpy(scenes.palettes().astype(np.float32))
    drawn, given = (trainer(scenes, palette_source=source) for source in ("model", "data"))
    palettes = given.batches.palettes(given.batches.draw(0), ALONE.shards(4)[0])
    assert all((row == real).all(dim=1).any() for row in palettes)
    palettes = drawn.batches.palettes(drawn.batches.draw(0), ALONE.shards(4)[0])
    torch.testing.assert_close(palettes.sum(dim=1), torch.ones(4))
    assert not any((row == real).all(dim=1).any() for row in palettes)


def test_the_average_follows_the_weights_and_decay_0_is_the_weights(scenes: Scenes) -> None:
    stage = trainer(scenes, average_decay=0.0)
    stage.run_step()
    assert_identical(dict(stage.average.average.state_dict()), dict(stage.generator.state_dict()))


def test_what_is_exported_rebuilds_the_generator(scenes: Scenes) -> None:
    stage = trainer(scenes, {"sinkhorn_steps": 2})
    stage.run_step()
    (kind, state), *others = stage.export_states().items()
    assert (kind, others) == ("layout", [])
    config = from_plain(ProgressiveConfig, state["model_config"])
    network = LayoutGenerator(config, SceneShape(12, state["height"], state["width"]))
    network.load_state_dict(state["weights"])
    assert (state["step"], state["total_steps"]) == (1, 7)
    assert stage.images_seen == 4


def test_the_conditional_losses_fall(scenes: Scenes) -> None:
    phases = (Phase(level=1, stable_steps=40, batch_size=8, conditional_weight=50.0),)
    stage = trainer(scenes, {"widths": (16, 16)}, phases=phases, learning_rate=1e-2)
    history = [
        sum(float(value) for key, value in stage.run_step().items() if key in ("entropy", "spread")) for _ in range(40)
    ]
    assert np.mean(history[-5:]) < 0.85 * np.mean(history[:5])


def test_the_matching_loss_falls(scenes: Scenes) -> None:
    phases = (Phase(level=1, stable_steps=40, batch_size=8, conditional_weight=50.0),)
    sizes = {"widths": (16, 16), "conditioning": "input"}
    stage = trainer(scenes, sizes, phases=phases, learning_rate=1e-2, conditional="matching")
    history = [float(stage.run_step()["matching"]) for _ in range(40)]
    assert np.mean(history[-5:]) < 0.7 * np.mean(history[:5])


def test_a_step_takes_nothing_from_the_global_random_state(scenes: Scenes) -> None:
    stage = trainer(scenes, fake="gumbel")
    before = torch.get_rng_state()
    stage.run_step()
    sheet = stage.sample_sheet()
    assert sheet.shape == (4 * 8, 4 * 16, 3)
    assert sheet.dtype == np.uint8
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("phases", [(), (Phase(level=0),), (Phase(level=1), Phase(level=0)), (Phase(level=2),)])
def test_phases_that_do_not_fit_are_named(scenes: Scenes, phases: tuple[Phase, ...]) -> None:
    with pytest.raises(InvalidInputError, match=r"layout\.phases"):
        trainer(scenes, phases=phases)


def test_data_of_another_size_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"layout\.generator\.widths.*8x16.*16x32"):
        trainer(load_scenes(StreetsData(height=16, width=32, count=8), "train"))


@pytest.mark.parametrize(
    ("changes", "generator", "message"),
    [
        ({"penalty_every": 0}, {}, r"layout\.penalty_every"),
        ({"soften_keep": 0.3}, {}, r"layout\.soften_keep.*0\.5 to 1"),
        ({"soften_sigma": 0.0}, {}, r"layout\.soften_sigma.*above 0"),
        ({"gumbel_temperature": 0.0}, {}, r"layout\.gumbel_temperature.*above 0"),
        ({"average_decay": 1.0}, {}, r"layout\.average_decay"),
        ({"phases": (Phase(level=1, batch_size=0),)}, {}, r"layout\.phases\[0\]\.batch_size"),
        ({}, {"conditioning": "input"}, r"layout\.conditional.*no SAA"),
        ({"conditional": "matching"}, {"conditioning": "none"}, r"layout\.conditional.*match"),
    ],
)
def test_values_out_of_range_are_named(
    scenes: Scenes, changes: dict[str, Any], generator: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        trainer(scenes, generator, **changes)
