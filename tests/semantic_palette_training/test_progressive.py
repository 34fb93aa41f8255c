"""The progressive layout networks: shapes, fades, independence of batch mates, order of growth."""

import dataclasses
from typing import Any

import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator, ProgressiveConfig
from semantic_palette_training.models.saa import saa
from semantic_palette_training.scene_shape import SceneShape


def config(**changes: Any) -> ProgressiveConfig:
    return ProgressiveConfig(**({"latent_size": 8, "widths": (12, 8, 6)} | changes))


def shape(model: ProgressiveConfig) -> SceneShape:
    return SceneShape(5, *model.resolution(model.num_levels - 1))


def make_generator(**changes: Any) -> LayoutGenerator:
    model = config(**changes)
    return LayoutGenerator(model, shape(model))


def make_discriminator(**changes: Any) -> LayoutDiscriminator:
    model = config(**changes)
    return LayoutDiscriminator(model, shape(model))


def inputs(batch: int = 3, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(batch, 8), torch.rand(batch, classes).softmax(dim=1)


def upsampled_scores(generator: LayoutGenerator, z: torch.Tensor, palettes: torch.Tensor) -> torch.Tensor:
    """Scores of the level below the last at the last one's size: those of the same network without its last level."""
    model = dataclasses.replace(generator.config, widths=generator.config.widths[:-1])
    shorter = LayoutGenerator(model, shape(model))
    weights = generator.state_dict()
    shorter.load_state_dict({name: weights[name] for name in shorter.state_dict()})
    below = shorter.scores(z, palettes)
    return torch.nn.functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("scores", ["independent", "skip"])
@pytest.mark.parametrize("fusion", [True, False])
def test_one_layout_a_level(scores: str, fusion: bool) -> None:
    generator = make_generator(scores=scores, fusion=fusion)
    outputs = generator(*inputs())
    assert [tuple(output.soft_BKHW.shape) for output in outputs] == [(3, 5, 4, 8), (3, 5, 8, 16), (3, 5, 16, 32)]
    assert len(generator(*inputs(), level=1)) == 2


def test_a_sample_does_not_depend_on_its_batch() -> None:
    generator = make_generator()
    z, palettes = inputs()
    together = generator.scores(z, palettes)
    torch.testing.assert_close(generator.scores(z[1:2], palettes[1:2]), together[1:2], atol=1e-5, rtol=1e-5)


def test_a_fade_starts_at_the_upsampled_level_below_and_ends_at_the_new_level() -> None:
    generator = make_generator()
    z, palettes = inputs()
    begun = generator(z, palettes, 2, fade=0.0)
    torch.testing.assert_close(begun[-1].soft_BKHW, saa(upsampled_scores(generator, z, palettes), palettes).soft_BKHW)
    ended = generator(z, palettes, 2, fade=1.0)
    torch.testing.assert_close(ended[-1].soft_BKHW, saa(generator.scores(z, palettes), palettes).soft_BKHW)


def test_skip_scores_grow_without_changing_the_layout() -> None:
    generator = make_generator(scores="skip")
    z, palettes = inputs()
    grown, before = generator(z, palettes)[-1], saa(upsampled_scores(generator, z, palettes), palettes)
    torch.testing.assert_close(grown.soft_BKHW, before.soft_BKHW)


@pytest.mark.parametrize("scores", ["independent", "skip"])
@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("conditioning", ["saa", "input", "none", "saa in three sweeps"])
def test_exported_scores_have_the_layout_as_their_largest(conditioning: str, fusion: bool, scores: str) -> None:
    sweeps = {"sinkhorn_steps": 3, "temperature": 0.2} if "sweeps" in conditioning else {}
    generator = make_generator(conditioning=conditioning.split()[0], fusion=fusion, scores=scores, **sweeps)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)
    z, palettes = inputs()
    palettes[0] = torch.tensor([0.5, 0.0, 0.5, 0.0, 0.0])
    layout = generator(z, palettes)[-1].soft_BKHW.argmax(dim=1)
    chosen = generator.scores(z, palettes).argmax(dim=1)
    assert (chosen == layout).float().mean() > 0.999
    assert (chosen[0].unique().tolist() == [0, 2]) == ("saa" in conditioning)


def test_the_palette_reaches_generators_as_their_conditioning_says() -> None:
    z, palettes = inputs()
    for conditioning, differs in (("saa", True), ("input", True), ("none", False)):
        generator = make_generator(conditioning=conditioning)
        first, second = (generator(z, p)[-1].soft_BKHW for p in (palettes, palettes.flip(1)))
        assert torch.equal(first, second) != differs


def test_every_parameter_learns_from_the_last_level() -> None:
    generator = make_generator()
    loss = sum(output.soft_BKHW.square().mean() for output in generator(*inputs()))
    assert isinstance(loss, torch.Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize("base", [(4, 8), (4, 4)])
def test_discriminator_scores_each_level(base: tuple[int, int]) -> None:
    model = config(base_height=base[0], base_width=base[1], batch_deviation=True)
    discriminator = LayoutDiscriminator(model, shape(model))
    for level in range(3):
        layouts = torch.rand(2, 5, *model.resolution(level)).softmax(dim=1)
        assert discriminator(layouts, level).shape == (2,)


def test_discriminator_fade_starts_at_the_level_below() -> None:
    discriminator = make_discriminator()
    layouts = torch.rand(2, 5, 16, 32).softmax(dim=1)
    pooled = torch.nn.functional.avg_pool2d(layouts, 2)
    torch.testing.assert_close(discriminator(layouts, 2, fade=0.0), discriminator(pooled, 1))


def test_batch_deviation_sees_a_collapsed_batch() -> None:
    discriminator = make_discriminator(batch_deviation=True)
    varied = torch.rand(4, 5, 4, 8).softmax(dim=1)
    collapsed = varied[:1].expand(4, -1, -1, -1)
    assert not torch.allclose(discriminator(varied, 0)[:1], discriminator(collapsed, 0)[:1])


def test_a_conditional_discriminator_judges_by_the_palette_at_every_level() -> None:
    """Against an unconditional one with its weights that is shown the code as further classes."""
    discriminator = make_discriminator(conditioning="input", discriminator_conditioning=True)
    _, palettes = inputs()
    code = palettes.double() @ discriminator.code.weight.double().T * (2 / 5) ** 0.5
    for level in range(3):
        layouts = torch.rand(3, 5, 4 << level, 8 << level).softmax(dim=1)
        scores = discriminator(layouts, level, 1.0, palettes)
        tiled = torch.cat([layouts, code.float()[:, :, None, None].expand(-1, -1, *layouts.shape[2:])], dim=1)
        plain = LayoutDiscriminator(config(), SceneShape(5 + 8, 16, 32))
        weights = discriminator.state_dict()
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        torch.testing.assert_close(scores, plain(tiled, level))
        assert not torch.equal(scores, discriminator(layouts, level, 1.0, palettes.flip(1)))
    with pytest.raises(ValueError, match="palette"):
        discriminator(layouts, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (4, 0, 4)}, "widths"),
        ({"base_width": 6}, "base_width"),
        ({"latent_size": 0}, "latent_size"),
        ({"sinkhorn_steps": 0}, "sinkhorn_steps"),
        ({"temperature": 0.0}, "temperature"),
        ({"fusion_kernel": 2}, "fusion_kernel"),
        ({"conditioning": "input", "sinkhorn_steps": 2}, "conditioning"),
        ({"conditioning": "none", "discriminator_conditioning": True}, "conditioning"),
    ],
)
@pytest.mark.parametrize("network", [LayoutGenerator, LayoutDiscriminator])
def test_values_that_make_no_network_are_named(network: Any, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"layout\.generator\.{field}"):
        network(config(**changes), SceneShape(5, 16, 32))


def test_scenes_of_another_size_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"16x32.*20x32"):
        LayoutGenerator(config(), SceneShape(5, 20, 32))
