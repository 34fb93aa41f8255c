"""GauGAN and its relatives at the published sizes, and where their resolution doubles."""

import pytest
import torch
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.gaugan import GauganConfig, GauganGenerator, block_strides
from semantic_palette_training.models.image_generators import ImageGeneratorConfig, build_image_generator
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig, Pix2PixHDGenerator
from semantic_palette_training.models.spade import SpadeBlock, sampled_layout
from semantic_palette_training.scene_shape import SceneShape

CITYSCAPES, IDD = SceneShape(35, 128, 256), SceneShape(40, 128, 256)


def cost(config: ImageGeneratorConfig, shape: SceneShape) -> tuple[float, float]:
    """Parameters in millions, and 10^9 operations of one image."""
    with torch.device("meta"):
        network = build_image_generator(config, shape).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            labels = torch.zeros(1, shape.height, shape.width, dtype=torch.uint8)
            network(labels, torch.zeros(1, *network.code_shape))
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6, counter.get_total_flops() / 1e9


@pytest.mark.parametrize(
    ("config", "shape", "parameters", "operations"),
    [
        (GauganConfig(), CITYSCAPES, 93.02, 140.3),
        (GauganConfig(), IDD, 93.17, None),
        (GauganConfig(width=32), CITYSCAPES, 30.2, 66.1),
        (GauganConfig(width=16), CITYSCAPES, 11.3, 36.0),
        (Pix2PixHDConfig(), CITYSCAPES, 182.5, None),
    ],
    ids=["gaugan", "gaugan-40-classes", "gaugan-half", "gaugan-quarter", "pix2pixhd"],
)
def test_published_sizes(
    config: ImageGeneratorConfig, shape: SceneShape, parameters: float, operations: float | None
) -> None:
    """Against what was measured on the published code; 2 operations a multiply-add."""
    measured = cost(config, shape)
    assert measured[0] == pytest.approx(parameters, rel=0.005)
    if operations is not None:
        assert measured[1] == pytest.approx(operations, rel=0.005)


@pytest.mark.parametrize(
    ("doublings", "height", "width", "expected"),
    [
        (None, 128, 256, [64, 32, 16, 8, 4, 2, 1]),  # "more" of the published code
        (5, 256, 256, [32, 16, 16, 8, 4, 2, 1]),  # "normal"
        (None, 512, 512, [64, 32, 16, 8, 4, 2, 1]),
        (None, 64, 128, [32, 16, 16, 8, 4, 2, 1]),
        (None, 16, 32, [8, 8, 8, 8, 4, 2, 1]),
        (0, 16, 32, [1] * 7),
    ],
)
def test_where_the_resolution_doubles(doublings: int | None, height: int, width: int, expected: list[int]) -> None:
    assert block_strides(doublings, SceneShape(3, height, width)) == expected


@pytest.mark.parametrize(("doublings", "height"), [(7, 128), (-1, 128), (6, 96), (None, 33)])
def test_doublings_that_do_not_fit_are_errors(doublings: int | None, height: int) -> None:
    with pytest.raises(InvalidInputError, match=r"^image\.generator\.doublings"):
        block_strides(doublings, SceneShape(3, height, 256))


def test_layouts_are_sampled_at_cell_centres() -> None:
    layout = torch.arange(64.0).view(1, 1, 8, 8)
    assert sampled_layout(layout, 4).flatten().tolist() == [18, 22, 50, 54]
    assert torch.equal(sampled_layout(layout, 1), layout)


def test_convolutions_of_blocks_have_spectral_norm_one() -> None:
    """The largest singular value, after enough passes for power iteration to find it."""
    torch.manual_seed(0)
    network = GauganGenerator(GauganConfig(width=2, hidden=4), SceneShape(3, 16, 32))
    layout = torch.softmax(torch.randn(1, 3, 16, 32), dim=1)
    with torch.no_grad():
        for _ in range(60):
            network.from_layout(layout, torch.zeros(1, 0))
    network.eval()
    blocks = [module for module in network.modules() if isinstance(module, SpadeBlock)]
    convolutions = [block.conv_0 for block in blocks] + [block.conv_1 for block in blocks]
    convolutions += [block.conv_s for block in blocks if block.norm_s is not None]
    assert len(convolutions) == 18
    for convolution in convolutions:
        assert parametrize.is_parametrized(convolution)
        norm = torch.linalg.matrix_norm(convolution.weight.detach().double().flatten(1), ord=2)
        assert float(norm) == pytest.approx(1.0, abs=0.02)


def test_a_spade_block_is_its_formula() -> None:
    """Two modulated convolutions and a modulated 1x1 shortcut, written out in float64."""
    torch.manual_seed(0)
    calls: list[torch.nn.BatchNorm2d] = []

    def make_norm(channels: int) -> torch.nn.Module:
        calls.append(_Affine(channels))
        return calls[-1]

    block = SpadeBlock(3, 2, make_norm).double().eval()
    x, layout = torch.randn(2, 3, 4, 6, dtype=torch.float64), torch.randn(2, 1, 4, 6, dtype=torch.float64)

    def leaky(values: torch.Tensor) -> torch.Tensor:
        return torch.where(values > 0, values, 0.2 * values)

    def convolve(values: torch.Tensor, conv: torch.nn.Conv2d, pad: int) -> torch.Tensor:
        return torch.nn.functional.conv2d(values, conv.weight, conv.bias, padding=pad)

    first, second, shortcut = (norm.scale * 1.0 for norm in calls)
    hidden = convolve(leaky(x * first * layout), block.conv_0, 1)
    hidden = convolve(leaky(hidden * second * layout), block.conv_1, 1)
    expected = convolve(x * shortcut * layout, block.conv_s, 0) + hidden
    torch.testing.assert_close(block(x, layout, torch.zeros(2, 0)), expected)


class _Affine(torch.nn.Module):
    """Stands for a normalisation: its own scale times the layout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = torch.randn(1, channels, 1, 1, dtype=torch.float64)

    def forward(self, x: torch.Tensor, layout: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return x * self.scale * layout


@pytest.mark.parametrize(("height", "halvings"), [(18, 2), (4, 2), (16, 4)])
def test_a_size_pix2pixhd_cannot_halve_is_an_error(height: int, halvings: int) -> None:
    with pytest.raises(InvalidInputError, match=r"^image\.generator\.halvings"):
        Pix2PixHDGenerator(Pix2PixHDConfig(width=2, halvings=halvings, blocks=1), SceneShape(3, height, 64))
