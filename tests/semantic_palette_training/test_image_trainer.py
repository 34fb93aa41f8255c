"""The image stage: phases, what an update touches, learning, resuming bit for bit, appearance codes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import ALONE, assert_identical, run

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.data.streets import StreetsData
from semantic_palette_training.models.gaugan import GauganConfig
from semantic_palette_training.models.image_generators import ImageGeneratorConfig, build_image_generator
from semantic_palette_training.models.patch_discriminator import PatchDiscriminatorConfig
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.sean import SeanConfig
from semantic_palette_training.models.segmentation_discriminator import SegmentationDiscriminatorConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.appearance import appearance_codes
from semantic_palette_training.trainers.calibration import CALIBRATION_BATCHES
from semantic_palette_training.trainers.checkpoint import load_tensors
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.image import ImageTrainer
from semantic_palette_training.trainers.image_batches import ImageDraws
from semantic_palette_training.trainers.image_config import ImagePhase, ImageTrainConfig
from semantic_palette_training.trainers.loop import Outcome
from semantic_palette_training.trainers.objectives import (
    HingeConfig,
    LeastSquaresConfig,
    ObjectiveConfig,
    SceneBatch,
    SegmentationConfig,
)
from semantic_palette_training.trainers.randomness import step_generator

PHASES = (ImagePhase(height=8, steps=2, batch_size=3), ImagePhase(height=16, steps=3, batch_size=2))
ALL = slice(None)

PYRAMID = PyramidConfig(latent_size=8, widths=(8, 8, 6), spade_hidden=8)
GENERATORS: tuple[ImageGeneratorConfig, ...] = (
    PYRAMID,
    GauganConfig(width=2, hidden=4),
    Pix2PixHDConfig(width=4, halvings=2, blocks=1),
    SeanConfig(width=2, hidden=4, style_size=6, encoder_width=2),
)
SEGMENTATION = SegmentationConfig(discriminator=SegmentationDiscriminatorConfig(widths=(8, 8)))
OBJECTIVES: tuple[ObjectiveConfig, ...] = (
    SEGMENTATION,
    HingeConfig(discriminator=PatchDiscriminatorConfig(widths=(4, 8))),
    LeastSquaresConfig(discriminator=PatchDiscriminatorConfig(widths=(4, 8), scales=3, spectral=False)),
)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return load_scenes(StreetsData(height=16, width=32, count=12), "train")


def trainer(scenes: Scenes, context: TrainContext = ALONE, **changes: Any) -> ImageTrainer:
    values: dict[str, Any] = {"phases": PHASES, "generator": PYRAMID, "objective": SEGMENTATION, "max_shift": 2}
    return ImageTrainer(ImageTrainConfig(**(values | changes)), scenes, scenes, context)


def batch(stage: ImageTrainer, step: int = 0) -> tuple[ImageDraws, SceneBatch]:
    """The scenes of a step as the trainer sees them."""
    draws = stage.batches.draws(step, step_generator(stage.seed, stage.name, step))
    return draws, stage.batches.scenes(draws, ALL)


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
    stage = trainer(scenes, generator=PyramidConfig(latent_size=8, widths=(8, 8, 6), norm="spade", spade_hidden=8))
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
    seen = batch(stage)[1]
    colours = ((seen.image_B3HW + 1.0) * 127.5).round()
    assert torch.equal(colours[:, 0], seen.labels_BHW.float() * 20)
    assert torch.equal(seen.layout_BKHW.argmax(dim=1), seen.labels_BHW.long())
    unmoved = batch(trainer(painted, phases=stage.config.phases, max_shift=0))[1]
    assert not torch.equal(unmoved.labels_BHW, seen.labels_BHW)


def test_a_shard_is_its_part_of_the_batch(scenes: Scenes) -> None:
    stage = trainer(scenes, layouts="soft")
    draws, whole = batch(stage)
    part = stage.batches.scenes(draws, slice(1, 3))
    assert torch.equal(part.labels_BHW, whole.labels_BHW[1:3])
    assert torch.equal(part.image_B3HW, whole.image_B3HW[1:3])
    torch.testing.assert_close(part.layout_BKHW, whole.layout_BKHW[1:3])


def test_soft_layouts_blur_and_keep_the_class(scenes: Scenes) -> None:
    _, seen = batch(trainer(scenes, layouts="soft"), step=2)
    torch.testing.assert_close(seen.layout_BKHW.sum(dim=1), torch.ones(seen.labels_BHW.shape))
    assert torch.equal(seen.layout_BKHW.argmax(dim=1), seen.labels_BHW.long())
    assert 0.5 <= float(seen.layout_BKHW.amax(dim=1).min()) < 0.95


def test_latents_carry_the_appearance_of_their_scenes(scenes: Scenes) -> None:
    stage = trainer(scenes, appearance_size=4, phases=(ImagePhase(height=16, steps=1, batch_size=12),))
    codes = appearance_codes(scenes, 4)
    latents = batch(stage)[0].z_BZ
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


@pytest.mark.parametrize("accumulated", [False, True], ids=["whole", "accumulated"])
def test_stopped_and_continued_equals_uninterrupted_bit_for_bit(
    scenes: Scenes, tmp_path: Path, accumulated: bool
) -> None:
    def stage() -> ImageTrainer:
        if not accumulated:
            return trainer(scenes)
        context = TrainContext(torch.device("cpu"), micro_batch=1)
        return trainer(scenes, context, generator=GENERATORS[1], objective=OBJECTIVES[1], phases=PHASES[1:])

    assert run(stage(), tmp_path / "whole") is Outcome.FINISHED
    assert run(stage(), tmp_path / "parts", until=2) is Outcome.STOPPED
    assert run(stage(), tmp_path / "parts") is Outcome.FINISHED
    for file in ("checkpoint.pt", "image.pt"):
        whole, parts = (load_tensors(tmp_path / name / file) for name in ("whole", "parts"))
        assert_identical(whole, parts)


def test_the_exported_generator_has_the_statistics_of_its_own_features(scenes: Scenes) -> None:
    stage = trainer(scenes)
    for _ in range(stage.total_steps):
        stage.run_step()
    network = stage.calibrated_average()
    assert not network.training
    assert_identical(network.state_dict(), stage.calibrated_average().state_dict())
    seen = []
    norm = network.levels[0].norm_0.normalise
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    with torch.no_grad():
        for step in range(stage.total_steps, stage.total_steps + CALIBRATION_BATCHES):
            draws, real = batch(stage, step)
            network(real.labels_BHW, draws.z_BZ)
    torch.testing.assert_close(norm.running_mean, torch.stack(seen).mean(dim=0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: config.name)
def test_autocast_changes_a_step_by_rounding_alone(scenes: Scenes, config: ImageGeneratorConfig) -> None:
    """Losses are computed in float32, of networks whose outputs bfloat16 moves a little."""
    for objective in OBJECTIVES[:2]:
        settings = {"generator": config, "objective": objective, "phases": PHASES[1:]}
        exact, rounded = (trainer(scenes, autocast=autocast, **settings).run_step() for autocast in (False, True))
        for name, value in rounded.items():
            assert isinstance(value, torch.Tensor)
            assert value.dtype == torch.float32
            assert float(value) == pytest.approx(float(exact[name]), rel=0.1, abs=0.05), name


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: config.name)
def test_nothing_draws_from_the_global_generator(scenes: Scenes, config: ImageGeneratorConfig) -> None:
    stage = trainer(scenes, generator=config, phases=PHASES[1:])
    state = torch.get_rng_state()
    stage.run_step()
    sheet = stage.sample_sheet()
    stage.export_states()
    assert torch.equal(torch.get_rng_state(), state)
    assert sheet.dtype == np.uint8
    columns = 4 if config.name in ("pyramid", "sean") else 3
    assert sheet.shape == (6 * 16, columns * 32, 3)
    np.testing.assert_array_equal(sheet[:16, -32:], scenes.images[0])


@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: config.name)
def test_the_exported_state_rebuilds_the_averaged_generator(scenes: Scenes, config: ImageGeneratorConfig) -> None:
    stage = trainer(scenes, generator=config, phases=PHASES[1:])
    stage.run_step()
    state = stage.export_states()["image"]
    assert (state["height"], state["width"], state["step"], state["total_steps"]) == (16, 32, 1, 3)
    rebuilt_config = from_plain(ImageTrainConfig, {"phases": [], "generator": state["model_config"]}).generator
    rebuilt = build_image_generator(rebuilt_config, SceneShape(12, state["height"], state["width"])).eval()
    rebuilt.load_state_dict(state["weights"])
    labels, code = torch.from_numpy(scenes.labels[:1]), torch.randn(1, *rebuilt.code_shape)
    torch.testing.assert_close(rebuilt(labels, code), stage.average.average(labels, code))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda config: config.name)
@pytest.mark.parametrize("config", GENERATORS, ids=lambda config: config.name)
def test_every_generator_trains_with_every_objective(
    scenes: Scenes, config: ImageGeneratorConfig, objective: ObjectiveConfig
) -> None:
    stage = trainer(scenes, generator=config, objective=objective, phases=PHASES[1:], layouts="soft")
    generator, discriminator = stage.generator, stage.objective.discriminator
    before = [[weight.clone() for weight in network.parameters()] for network in (generator, discriminator)]
    for _ in range(2):
        metrics = stage.run_step()
        assert all(np.isfinite(float(value)) for value in metrics.values())
    assert stage.images_seen == 4
    for network, old in zip((generator, discriminator), before, strict=True):
        for (name, weight), was in zip(network.named_parameters(), old, strict=True):
            assert bool(weight.isfinite().all())
            # What normalisation follows has no use for a bias, and the last classes may not occur.
            assert not torch.equal(weight, was) or name.endswith("bias") or weight.ndim < 2, name


#: Where neither batch statistics nor power iteration depend on the passes: pix2pixHD's own setting. The rates are as
#: good as none, since Adam turns rounding of gradients near zero into whole steps.
PASS_FREE = {
    "generator": GENERATORS[2],
    "objective": OBJECTIVES[2],
    "phases": (ImagePhase(height=16, steps=3, batch_size=5),),
    "learning_rate": 1e-9,
    "discriminator_learning_rate": 1e-9,
}
#: The same with a batch that two processes can share.
EVEN = PASS_FREE | {"phases": (ImagePhase(height=16, steps=3, batch_size=4),)}


def test_accumulation_is_the_whole_batch(scenes: Scenes) -> None:
    contexts = [TrainContext(torch.device("cpu"), micro_batch=size) for size in (None, 2)]
    stages = [trainer(scenes, context, **PASS_FREE) for context in contexts]
    for _ in range(2):
        whole, parts = (stage.run_step() for stage in stages)
        assert whole.keys() == parts.keys()
        for name, value in whole.items():
            assert float(parts[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6)
    for networks in (
        [stage.generator for stage in stages],
        [stage.objective.discriminator for stage in stages],
    ):
        gradients = [[parameter.grad for parameter in network.parameters()] for network in networks]
        for first, second in zip(*gradients, strict=True):
            torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-3)


def test_gradients_of_processes_sum_to_those_of_one(scenes: Scenes) -> None:
    """Two processes' steps, whose gradients nobody sums, against one process's whole batch."""
    alone = trainer(scenes, **EVEN)
    whole = alone.run_step()
    parts = [trainer(scenes, TrainContext(torch.device("cpu"), rank, 2), **EVEN) for rank in range(2)]
    for part in parts:  # each would wait for the other
        part.context = _Deaf(torch.device("cpu"), part.context.rank, 2)
    metrics = [part.run_step() for part in parts]
    for name, value in whole.items():
        assert sum(float(each[name]) for each in metrics) == pytest.approx(float(value), rel=1e-4, abs=1e-6)
    for expected, first, second in zip(*[stage.generator.parameters() for stage in (alone, *parts)], strict=True):
        torch.testing.assert_close(first.grad + second.grad, expected.grad, atol=1e-6, rtol=1e-3)


class _Deaf(TrainContext):
    """One of several processes, alone."""

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Leave the process's own."""


def test_a_styled_generator_learns_to_reproduce_scenes(scenes: Scenes) -> None:
    """Styles carry the scene's own colours, so the encoder gets gradients and reproduction improves."""
    phases = (ImagePhase(height=16, steps=24, batch_size=4),)
    sean = SeanConfig(width=4, hidden=8, style_size=8, encoder_width=4)
    stage = trainer(scenes, generator=sean, phases=phases, learning_rate=4e-3, cool_down=0.0)
    anchors = [float(stage.run_step()["g_anchor"]) for _ in range(24)]
    assert np.mean(anchors[-6:]) < 0.75 * np.mean(anchors[:4])
    assert any(weight.grad is not None and bool(weight.grad.any()) for weight in stage.generator.encoder.parameters())


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


@pytest.mark.parametrize("config", GENERATORS[1:], ids=lambda config: config.name)
def test_generators_without_smaller_levels_take_full_size_phases_alone(
    scenes: Scenes, config: ImageGeneratorConfig
) -> None:
    with pytest.raises(InvalidInputError, match=r"phases\[0\].height.*does not grow"):
        trainer(scenes, generator=config)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("appearance_size", 9),
        ("max_shift", 32),
        ("cool_down", 1.5),
        ("average_decay", -0.1),
        ("soften_keep", 0.4),
        ("soften_sigma", 0.0),
    ],
)
def test_values_out_of_range_are_errors_that_name_the_field(scenes: Scenes, field: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"image.{field}"):
        trainer(scenes, **{field: value})


def test_it_learns_the_colours_of_classes(scenes: Scenes) -> None:
    phases = (ImagePhase(height=16, steps=60, batch_size=4),)
    stage = trainer(scenes, phases=phases, learning_rate=5e-3, cool_down=0.0)
    anchors = [float(stage.run_step()["g_anchor"]) for _ in range(60)]
    assert np.mean(anchors[-10:]) < 0.6 * np.mean(anchors[:5])
