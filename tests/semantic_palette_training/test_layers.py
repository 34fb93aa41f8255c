"""Layers of progressive GANs: values, and the gradients that are written by hand."""

import pytest
import torch
from torch.nn import functional

from semantic_palette_training.models.layers import (
    EqualisedConv2d,
    average_pool,
    leaky_relu,
    normalised_leaky_relu,
    pixel_norm,
)


def x(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)


def test_pixel_norm_makes_the_root_mean_square_one() -> None:
    normalised = pixel_norm(3 * torch.randn(2, 16, 4, 4))
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(2, 4, 4), atol=1e-4, rtol=1e-4)


def test_activations_are_the_same_with_and_without_a_gradient() -> None:
    values = x(2, 3, 4, 6)
    for function in (leaky_relu, average_pool, normalised_leaky_relu):
        torch.testing.assert_close(function(values), function(values.detach()))
    torch.testing.assert_close(leaky_relu(values), functional.leaky_relu(values, 0.2))
    torch.testing.assert_close(average_pool(values), functional.avg_pool2d(values, 2))


@pytest.mark.parametrize("function", [leaky_relu, average_pool, normalised_leaky_relu])
def test_gradients_pass_gradcheck(function) -> None:
    assert torch.autograd.gradcheck(function, (x(2, 3, 4, 6),))


@pytest.mark.parametrize("function", [leaky_relu, average_pool])
def test_second_gradients_pass_gradcheck(function) -> None:
    assert torch.autograd.gradgradcheck(function, (x(2, 3, 4, 6),))


def test_a_second_gradient_of_normalisation_is_refused_rather_than_wrong() -> None:
    values = x(1, 3, 2, 2)
    (gradient,) = torch.autograd.grad(normalised_leaky_relu(values).square().sum(), values, create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


def test_equalised_weights_start_normal_and_are_scaled_by_fan_in() -> None:
    layer = EqualisedConv2d(3, 5, 3)
    values = torch.randn(1, 3, 6, 6)
    expected = functional.conv2d(values, layer.weight * (2 / 27) ** 0.5, layer.bias, padding=1)
    torch.testing.assert_close(layer(values), expected)
