"""Objectives on a batch: terms and weights, which networks get gradients, use without a trainer."""

import contextlib
import hashlib
from pathlib import Path

import pytest
import torch

from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.losses import hinge, least_squares
from semantic_palette_training.losses.feature_matching import feature_matching_loss
from semantic_palette_training.losses.perceptual import perceptual_loss
from semantic_palette_training.losses.segmentation import colour_anchor_loss, fake_loss, label_mix_loss, mix, real_loss
from semantic_palette_training.models.patch_discriminator import PatchDiscriminatorConfig
from semantic_palette_training.models.segmentation_discriminator import SegmentationDiscriminatorConfig
from semantic_palette_training.models.spade import one_hot
from semantic_palette_training.models.vgg import PerceptualConfig, Vgg19Features, load_vgg19
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.objectives import (
    HingeConfig,
    LeastSquaresConfig,
    Objective,
    ObjectiveConfig,
    PatchObjective,
    SceneBatch,
    SegmentationConfig,
    SegmentationObjective,
    build_discriminator,
    build_objective,
)

SHAPE = SceneShape(3, 16, 32)
PATCHES = PatchDiscriminatorConfig(widths=(4, 6))
CONFIGS: tuple[ObjectiveConfig, ...] = (
    SegmentationConfig(discriminator=SegmentationDiscriminatorConfig(widths=(4, 6)), anchor_weight=3.0),
    HingeConfig(discriminator=PATCHES, feature_weight=7.0),
    LeastSquaresConfig(discriminator=PATCHES, feature_weight=7.0),
)
FREQUENCIES = torch.tensor([0.5, 0.3, 0.2])


def build(config: ObjectiveConfig) -> Objective:
    """In evaluation mode, so that power iteration stands still."""
    torch.manual_seed(0)
    return build_objective(config, SHAPE, FREQUENCIES, contextlib.nullcontext).eval()


@pytest.fixture
def scenes() -> SceneBatch:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 16, 32), generator=draw, dtype=torch.uint8)
    return SceneBatch(labels, one_hot(labels, 3), torch.rand(2, 3, 16, 32, generator=draw) * 2 - 1)


@pytest.fixture
def fake() -> torch.Tensor:
    return (torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1).requires_grad_()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_configs_survive_plain_values(config: ObjectiveConfig) -> None:
    assert from_plain(type(config), to_plain(config)) == config


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_each_side_moves_its_own_network(config: ObjectiveConfig, scenes: SceneBatch, fake: torch.Tensor) -> None:
    objective = build(config)
    draws = objective.draws(2, torch.Generator().manual_seed(2))
    assert torch.equal(draws, objective.draws(2, torch.Generator().manual_seed(2)))
    loss, terms = objective.generator_loss(scenes, fake)
    loss.backward()
    assert fake.grad is not None
    assert all(parameter.grad is None for parameter in objective.discriminator.parameters())
    assert all(parameter.requires_grad for parameter in objective.discriminator.parameters())
    assert not any(term.requires_grad for term in terms.values())
    loss, _ = objective.discriminator_loss(scenes, fake.detach(), draws)
    loss.backward()
    assert all(parameter.grad is not None for parameter in objective.discriminator.parameters())


def test_segmentation_is_oasis_with_the_anchor(scenes: SceneBatch, fake: torch.Tensor) -> None:
    objective = build(CONFIGS[0])
    assert isinstance(objective, SegmentationObjective)
    weights, network = objective.get_buffer("weights_K"), objective.discriminator
    coins = torch.tensor([[1, 0, 0], [0, 1, 1]])
    loss, terms = objective.discriminator_loss(scenes, fake.detach(), coins)
    mask = torch.stack([(scenes.labels_BHW[0] == 0), (scenes.labels_BHW[1] != 0)])[:, None].float()
    on_real, on_fake = network(scenes.image_B3HW), network(fake)
    consistency = label_mix_loss(mix(mask, on_real, on_fake), network(mix(mask, scenes.image_B3HW, fake)))
    real, made = real_loss(on_real, scenes.labels_BHW, weights), fake_loss(on_fake)
    torch.testing.assert_close(loss, real + made + 5.0 * consistency)
    torch.testing.assert_close(terms["label_mix"], consistency.detach())
    loss, _ = objective.generator_loss(scenes, fake)
    anchor = colour_anchor_loss(fake, scenes.image_B3HW, (2, 8))
    torch.testing.assert_close(loss, real_loss(on_fake, scenes.labels_BHW, weights) + 3.0 * anchor)


@pytest.mark.parametrize("config", CONFIGS[1:], ids=lambda config: config.name)
def test_patch_objectives_judge_layout_and_image(
    config: ObjectiveConfig, scenes: SceneBatch, fake: torch.Tensor
) -> None:
    objective, losses = build(config), hinge if config.name == "hinge" else least_squares
    real_out = objective.discriminator(torch.cat([scenes.layout_BKHW, scenes.image_B3HW], dim=1))
    fake_out = objective.discriminator(torch.cat([scenes.layout_BKHW, fake], dim=1))
    real_scores, fake_scores = ([features[-1] for features in out] for out in (real_out, fake_out))
    loss, _ = objective.discriminator_loss(scenes, fake.detach(), torch.empty(2, 0))
    torch.testing.assert_close(loss, losses.discriminator_loss(real_scores, fake_scores))
    loss, terms = objective.generator_loss(scenes, fake)
    matching = feature_matching_loss(fake_out, real_out)
    torch.testing.assert_close(loss, losses.generator_loss(fake_scores) + 7.0 * matching)
    torch.testing.assert_close(terms["g_features"], matching.detach())


def test_the_perceptual_term_joins_when_weights_are_given(
    scenes: SceneBatch, fake: torch.Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "vgg19.pth"
    torch.save(Vgg19Features().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    perceptual = PerceptualConfig(weights=str(path), sha256=digest, weight=4.0)
    plain = build(HingeConfig(discriminator=PATCHES))
    full = build(HingeConfig(discriminator=PATCHES, perceptual=perceptual))
    network = load_vgg19(perceptual)
    term = perceptual_loss(network(fake), network(scenes.image_B3HW))
    loss, terms = full.generator_loss(scenes, fake)
    torch.testing.assert_close(terms["g_perceptual"], term.detach())
    torch.testing.assert_close(loss, plain.generator_loss(scenes, fake)[0] + 4.0 * term)
    loss.backward()
    assert isinstance(full, PatchObjective)
    assert full.vgg is not None
    assert all(parameter.grad is None for parameter in full.vgg.parameters())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_the_discriminator_alone_is_the_objectives(config: ObjectiveConfig) -> None:
    alone = build_discriminator(config, SHAPE)
    whole = build(config).discriminator
    alone.load_state_dict(whole.state_dict())
    x_BCHW = torch.randn(1, alone.in_channels, 16, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(alone.eval()(x_BCHW), whole(x_BCHW), rtol=0, atol=0)


def test_pix2pixhd_has_three_scales_of_four_layers_by_default() -> None:
    """Wang et al., 2018, section 3.2 and supplement: C64-C128-C256-C512, no spectral normalisation."""
    config = LeastSquaresConfig().discriminator
    assert (config.widths, config.scales, config.spectral) == ((64, 128, 256, 512), 3, False)
