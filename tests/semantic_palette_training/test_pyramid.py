"""The pyramid generator: sizes, what its output depends on, growth, cost."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import from_plain, to_plain
from semantic_palette_training.models.pyramid import PyramidConfig, PyramidGenerator
from semantic_palette_training.models.spade import NormName
from semantic_palette_training.scene_shape import SceneShape

SMALL = PyramidConfig(latent_size=4, widths=(8, 8, 6), spade_hidden=8)
SHAPE = SceneShape(3, 16, 32)


def generator(config: PyramidConfig = SMALL) -> PyramidGenerator:
    """In evaluation mode, with RGB outputs that are not at their initial zero."""
    torch.manual_seed(0)
    network = PyramidGenerator(config, SHAPE).eval()
    for name, parameter in network.named_parameters():
        if "to_rgb.weight" in name:
            torch.nn.init.normal_(parameter)
    return network


def scene(batch: int, height: int = 16, width: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (batch, height, width), generator=draw, dtype=torch.uint8)
    return labels, torch.randn(batch, 4, generator=draw)


@pytest.mark.parametrize("norm", ["spade", "class_adaptive"])
@torch.no_grad()
def test_images_have_the_size_of_the_layout_and_are_in_range(norm: NormName) -> None:
    labels, z = scene(2)
    image = generator(replace(SMALL, norm=norm))(labels, z * 100)
    assert image.shape == (2, 3, 16, 32)
    assert image.dtype == torch.float32
    assert -1.0 <= float(image.min()) < float(image.max()) <= 1.0


@pytest.mark.parametrize("norm", ["spade", "class_adaptive"])
@torch.no_grad()
def test_an_image_does_not_depend_on_the_batch(norm: NormName) -> None:
    network, (labels, z) = generator(replace(SMALL, norm=norm)), scene(3)
    together = network(labels, z)
    for row in range(3):
        torch.testing.assert_close(network(labels[row : row + 1], z[row : row + 1])[0], together[row])


@torch.no_grad()
def test_training_images_are_not_cut() -> None:
    network, (labels, z) = generator().train(), scene(1)
    assert float(network(labels, z).abs().max()) > 1.0


@torch.no_grad()
def test_layout_and_latent_both_matter() -> None:
    network, (labels, z) = generator(), scene(1)
    image = network(labels, z)
    assert not torch.allclose(network(labels, -z), image)
    changed = labels.clone()
    changed[0, 3, 5] = (changed[0, 3, 5] + 1) % 3
    difference = (network(changed, z) - image).abs().sum(dim=1)[0]
    assert float(difference[3, 5]) > 1e-4


@torch.no_grad()
def test_hard_labels_are_one_hot_layouts() -> None:
    network, (labels, z) = generator(), scene(2)
    layout = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2).float()
    assert torch.equal(network.from_layout(layout, z), network(labels, z))


def test_gradients_reach_a_soft_layout() -> None:
    layout = torch.softmax(torch.randn(1, 3, 16, 32), dim=1).requires_grad_()
    generator().train().from_layout(layout, torch.zeros(1, 4)).sum().backward()
    assert layout.grad is not None
    assert float(layout.grad.abs().sum()) > 0


@torch.no_grad()
def test_a_new_level_changes_nothing_of_what_was_learned() -> None:
    network, (labels, z) = generator(), scene(1)
    torch.nn.init.zeros_(network.levels[-1].to_rgb.weight)  # as it is when its training begins
    blocky = labels[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
    small = network.train()(labels[:, ::2, ::2], z)
    expected = torch.nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(blocky, z), expected)


@torch.no_grad()
def test_the_initial_image_is_grey() -> None:
    labels, z = scene(1)
    assert float(PyramidGenerator(SMALL, SHAPE)(labels, z).abs().max()) == 0.0


def test_a_size_that_is_no_level_is_an_error_that_says_what_is() -> None:
    labels, z = scene(1, 16, 16)
    with pytest.raises(InvalidInputError, match=r"labels.*\(16, 16\).*16x32") as caught:
        generator()(labels, z)
    assert caught.value.field == "labels"


def test_levels_that_do_not_divide_the_size_are_an_error() -> None:
    with pytest.raises(InvalidInputError, match="widths"):
        PyramidGenerator(SMALL, SceneShape(3, 18, 32))


def test_the_config_survives_plain_values() -> None:
    assert from_plain(PyramidConfig, to_plain(SMALL)) == SMALL


def test_the_default_costs_about_one_gmac_and_spade_several_times_that() -> None:
    costs = {}
    for norm in ("class_adaptive", "spade"):
        config = PyramidConfig(norm=norm)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad(), torch.device("meta"):
            network = PyramidGenerator(config, SceneShape(12, 128, 256))
            network(torch.zeros(1, 128, 256, dtype=torch.uint8), torch.zeros(1, *network.code_shape))
        costs[norm] = counter.get_total_flops() / 2e9
    assert costs["class_adaptive"] < 1.2
    assert costs["spade"] > 3 * costs["class_adaptive"]
