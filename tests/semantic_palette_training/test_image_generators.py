"""All image generators through the interface they share: codes, sizes, soft layouts."""

import pytest
import torch

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.models.gaugan import GauganConfig
from semantic_palette_training.models.image_generators import ImageGeneratorConfig, build_image_generator
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.pix2pixhd import Pix2PixHDConfig
from semantic_palette_training.models.pyramid import PyramidConfig
from semantic_palette_training.models.sean import SeanConfig, SeanGenerator
from semantic_palette_training.scene_shape import SceneShape

SHAPE = SceneShape(3, 16, 32)
CONFIGS: tuple[ImageGeneratorConfig, ...] = (
    PyramidConfig(latent_size=4, widths=(8, 8, 6)),
    GauganConfig(width=2, hidden=4),
    Pix2PixHDConfig(width=4, halvings=2, blocks=1),
    SeanConfig(width=2, hidden=4, style_size=6, encoder_width=2),
)
CODES = {"pyramid": (4,), "gaugan": (0,), "pix2pixhd": (0,), "sean": (3, 6)}


@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def network(request: pytest.FixtureRequest) -> LayoutToImage:
    """In evaluation mode, with nothing at an initial zero and statistics of other data than its own."""
    torch.manual_seed(0)
    network = build_image_generator(request.param, SHAPE)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def scene(network: LayoutToImage, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (batch, 4, 8), generator=draw, dtype=torch.uint8)
    labels = labels.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    return labels, torch.randn(batch, *network.code_shape, generator=draw)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_configs_survive_plain_values(config: ImageGeneratorConfig) -> None:
    assert from_plain(type(config), to_plain(config)) == config


@torch.no_grad()
def test_images_are_in_range_and_codes_have_their_shape(network: LayoutToImage) -> None:
    assert network.code_shape == CODES[network.config.name]
    assert (network.latent_size > 0) == (network.config.name == "pyramid")
    assert (network.style_size > 0) == (network.config.name == "sean")
    image = network(*scene(network, 2))
    assert (image.shape, image.dtype) == ((2, 3, 16, 32), torch.float32)
    assert -1.0 <= float(image.min()) < float(image.max()) <= 1.0


@torch.no_grad()
def test_an_image_does_not_depend_on_the_batch(network: LayoutToImage) -> None:
    labels, code = scene(network, 3)
    together = network(labels, code)
    for row in range(3):
        torch.testing.assert_close(network(labels[row : row + 1], code[row : row + 1])[0], together[row])


@torch.no_grad()
def test_layout_and_code_decide_the_image_alone(network: LayoutToImage) -> None:
    labels, code = scene(network, 1)
    image = network(labels, code)
    assert torch.equal(network(labels, code), image)
    assert not torch.allclose(network((labels + 1) % 3, code), image, atol=1e-3)
    if code.numel():
        assert not torch.allclose(network(labels, -code), image, atol=1e-3)


def test_hard_labels_are_one_hot_layouts_and_gradients_reach_soft_ones(network: LayoutToImage) -> None:
    labels, code = scene(network, 2)
    layout = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(network.from_layout(layout, code), network(labels, code))
    soft = torch.softmax(torch.randn(layout.shape, generator=torch.Generator().manual_seed(2)), dim=1).requires_grad_()
    (network.from_layout(soft, code) ** 2).sum().backward()
    assert soft.grad is not None
    assert float(soft.grad.abs().amax(dim=(0, 2, 3)).min()) > 0


def test_other_sizes_are_errors_that_say_what_is_expected(network: LayoutToImage) -> None:
    with pytest.raises(InvalidInputError, match=r"labels.*\(16, 16\).*16x32"):
        network(torch.zeros(1, 16, 16, dtype=torch.uint8), torch.zeros(1, *network.code_shape))


def test_every_weight_takes_part(network: LayoutToImage) -> None:
    """A weight that no gradient reaches would be dead weight in a bundle."""
    labels, code = scene(network, 2)
    if isinstance(network, SeanGenerator):
        layout = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2).float()
        code = network.encode(torch.randn(2, 3, 16, 32), layout)
    network.train()
    (network(labels, code) ** 3).mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()) or name.endswith("bias"), name
