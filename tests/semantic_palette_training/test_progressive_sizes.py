"""Parameters and work of the layout networks at the paper's sizes against what the published code's have."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator, ProgressiveConfig
from semantic_palette_training.scene_shape import SceneShape

#: Channels of levels 4x8 to 1024x2048; the published code allocates the last three even where 128x256 is trained.
WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)


def networks(num_classes: int, levels: int, base_width: int = 8) -> tuple[LayoutGenerator, LayoutDiscriminator]:
    """With 3x3 fusion, as the published code has it."""
    config = ProgressiveConfig(widths=WIDTHS[:levels], base_width=base_width, fusion_kernel=3)
    shape = SceneShape(num_classes, *config.resolution(levels - 1))
    with torch.device("meta"):
        return LayoutGenerator(config, shape), LayoutDiscriminator(config, shape)


def millions(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def gigaflop(network: nn.Module, *inputs: object) -> float:
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*inputs)
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize(
    ("num_classes", "levels", "base_width", "generator_millions", "discriminator_millions"),
    [(35, 6, 8, 28.52, 23.01), (35, 9, 8, 28.74, 23.16), (40, 6, 8, 28.72, None), (19, 7, 4, 23.67, 23.09)],
)
def test_parameters_agree_within_one_percent(
    num_classes: int,
    levels: int,
    base_width: int,
    generator_millions: float,
    discriminator_millions: float | None,
) -> None:
    generator, discriminator = networks(num_classes, levels, base_width)
    assert millions(generator) == pytest.approx(generator_millions, rel=0.01)
    if discriminator_millions is not None:
        assert millions(discriminator) == pytest.approx(discriminator_millions, rel=0.01)


def test_the_papers_fusion_is_smaller_than_the_published_codes() -> None:
    with torch.device("meta"):
        assert millions(LayoutGenerator(ProgressiveConfig(), SceneShape(35, 128, 256))) == pytest.approx(27.9, rel=0.01)


@pytest.mark.parametrize(
    ("num_classes", "level", "expected"),
    [(35, 0, 0.17), (35, 1, 1.39), (35, 2, 6.28), (35, 3, 25.9), (35, 4, 55.6), (35, 5, 86.3), (40, 5, 86.6)],
)
def test_the_generators_work_agrees_within_one_percent(num_classes: int, level: int, expected: float) -> None:
    generator, _ = networks(num_classes, 6)
    z, palette = torch.zeros(1, 512, device="meta"), torch.zeros(1, num_classes, device="meta")
    assert gigaflop(generator, z, palette, level) == pytest.approx(expected, rel=0.01)


def test_the_generators_work_at_256x512() -> None:
    generator, _ = networks(35, 7)
    z, palette = torch.zeros(1, 512, device="meta"), torch.zeros(1, 35, device="meta")
    assert gigaflop(generator, z, palette) == pytest.approx(118.5, rel=0.01)


def test_the_discriminators_work_agrees_within_one_percent() -> None:
    _, discriminator = networks(35, 6)
    assert gigaflop(discriminator, torch.zeros(1, 35, 128, 256, device="meta"), 5) == pytest.approx(83.7, rel=0.01)
