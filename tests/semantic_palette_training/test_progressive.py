"""The progressive layout networks: shapes, fades, independence of batch mates, order of growth."""

import dataclasses

import pytest
import torch

from semantic_palette_training.models.layers import pixel_norm
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator, LayoutGeneratorConfig
from semantic_palette_training.models.saa import saa


def config(**changes: object) -> LayoutGeneratorConfig:
    values = {"num_classes": 5, "latent_size": 8, "widths": (12, 8, 6)} | changes
    return LayoutGeneratorConfig(**values)  # type: ignore[arg-type]


def inputs(batch: int = 3, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(batch, 8), torch.rand(batch, classes).softmax(dim=1)


def upsampled_scores(generator: LayoutGenerator, z: torch.Tensor, palettes: torch.Tensor) -> torch.Tensor:
    """Scores of the level below the last at the last one's size: those of the same network without its last level."""
    shorter = LayoutGenerator(dataclasses.replace(generator.config, widths=generator.config.widths[:-1]))
    weights = generator.state_dict()
    shorter.load_state_dict({name: weights[name] for name in shorter.state_dict()})
    below = shorter.scores(z, palettes)
    return torch.nn.functional.interpolate(below, scale_factor=2.0, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("scores", ["independent", "skip"])
@pytest.mark.parametrize("fusion", [True, False])
def test_one_layout_a_level(scores: str, fusion: bool) -> None:
    generator = LayoutGenerator(config(scores=scores, fusion=fusion))
    outputs = generator(*inputs())
    assert [tuple(output.soft_BKHW.shape) for output in outputs] == [(3, 5, 4, 8), (3, 5, 8, 16), (3, 5, 16, 32)]
    assert len(generator(*inputs(), level=1)) == 2


def test_a_sample_does_not_depend_on_its_batch() -> None:
    generator = LayoutGenerator(config())
    z, palettes = inputs()
    together = generator.scores(z, palettes)
    torch.testing.assert_close(generator.scores(z[1:2], palettes[1:2]), together[1:2], atol=1e-5, rtol=1e-5)


def test_a_fade_starts_at_the_upsampled_level_below_and_ends_at_the_new_level() -> None:
    generator = LayoutGenerator(config())
    z, palettes = inputs()
    begun = generator(z, palettes, 2, fade=0.0)
    torch.testing.assert_close(begun[-1].soft_BKHW, saa(upsampled_scores(generator, z, palettes), palettes).soft_BKHW)
    ended = generator(z, palettes, 2, fade=1.0)
    torch.testing.assert_close(ended[-1].soft_BKHW, saa(generator.scores(z, palettes), palettes).soft_BKHW)


def test_skip_scores_grow_without_changing_the_layout() -> None:
    generator = LayoutGenerator(config(scores="skip"))
    z, palettes = inputs()
    torch.testing.assert_close(generator.scores(z, palettes), upsampled_scores(generator, z, palettes))


def test_every_parameter_learns_from_the_last_level() -> None:
    generator = LayoutGenerator(config())
    loss = sum(output.soft_BKHW.square().mean() for output in generator(*inputs()))
    assert isinstance(loss, torch.Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize("base", [(4, 8), (4, 4)])
def test_discriminator_scores_each_level(base: tuple[int, int]) -> None:
    model = config(base_height=base[0], base_width=base[1], batch_deviation=True)
    discriminator = LayoutDiscriminator(model)
    for level in range(3):
        layouts = torch.rand(2, 5, *model.resolution(level)).softmax(dim=1)
        assert discriminator(layouts, level).shape == (2,)


def test_discriminator_fade_starts_at_the_level_below() -> None:
    discriminator = LayoutDiscriminator(config())
    layouts = torch.rand(2, 5, 16, 32).softmax(dim=1)
    pooled = torch.nn.functional.avg_pool2d(layouts, 2)
    torch.testing.assert_close(discriminator(layouts, 2, fade=0.0), discriminator(pooled, 1))


def test_batch_deviation_sees_a_collapsed_batch() -> None:
    discriminator = LayoutDiscriminator(config(batch_deviation=True))
    varied = torch.rand(4, 5, 4, 8).softmax(dim=1)
    collapsed = varied[:1].expand(4, -1, -1, -1)
    assert not torch.allclose(discriminator(varied, 0)[:1], discriminator(collapsed, 0)[:1])


def test_pixel_norm_makes_the_root_mean_square_one() -> None:
    normalised = pixel_norm(3 * torch.randn(2, 16, 4, 4))
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(2, 4, 4), atol=1e-4, rtol=1e-4)
