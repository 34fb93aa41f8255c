"""The OASIS objective against its equations, written out pixel by pixel in float64."""

import math

import numpy as np
import pytest
import torch

from semantic_palette_training.losses.segmentation import (
    class_weights,
    colour_anchor_loss,
    fake_loss,
    label_mix_loss,
    label_mix_mask,
    mix,
    real_loss,
)

B, K, H, W = 2, 3, 4, 5


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(B, K + 1, H, W, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(0, K, (B, H, W), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def log_probability(logits: torch.Tensor, b: int, c: int, i: int, j: int) -> float:
    values = [float(v) for v in logits[b, :, i, j]]
    largest = max(values)
    return values[c] - largest - math.log(sum(math.exp(v - largest) for v in values))


def test_weights_are_inverse_frequencies_with_mean_one() -> None:
    frequencies = torch.tensor([0.5, 0.3, 0.2, 0.0])
    weights = class_weights(frequencies)
    torch.testing.assert_close(weights, torch.tensor([2.0, 10 / 3, 5.0, 0.0]) / 3)
    assert float((frequencies * weights).sum()) == pytest.approx(1.0)


def test_real_loss_is_equation_one(logits: torch.Tensor, labels: torch.Tensor) -> None:
    weights = torch.tensor([0.5, 2.0, 1.0])
    expected = 0.0
    for b, i, j in np.ndindex(B, H, W):
        c = int(labels[b, i, j])
        expected -= float(weights[c]) * log_probability(logits, b, c, i, j)
    assert float(real_loss(logits, labels, weights)) == pytest.approx(expected / (B * H * W), rel=1e-5)


def test_fake_loss_is_the_cross_entropy_with_the_last_class(logits: torch.Tensor) -> None:
    expected = -sum(log_probability(logits, b, K, i, j) for b, i, j in np.ndindex(B, H, W))
    assert float(fake_loss(logits)) == pytest.approx(expected / (B * H * W), rel=1e-5)


def test_gradients_of_the_losses(logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Each loss computes in float32, so its gradient is checked against the softmax formula rather than numerically."""
    logits.requires_grad_()
    weights = torch.tensor([0.5, 2.0, 1.0])
    probabilities = torch.softmax(logits.detach(), dim=1)
    (gradient,) = torch.autograd.grad(real_loss(logits, labels, weights), logits)
    target = torch.nn.functional.one_hot(labels.long(), K + 1).permute(0, 3, 1, 2)
    pixel_weights = weights[labels.long()].unsqueeze(1)
    torch.testing.assert_close(gradient, pixel_weights * (probabilities - target) / (B * H * W))
    (gradient,) = torch.autograd.grad(fake_loss(logits), logits)
    probabilities[:, -1] -= 1
    torch.testing.assert_close(gradient, probabilities / (B * H * W))


def test_the_mask_is_the_coin_of_each_pixels_class(labels: torch.Tensor) -> None:
    coins = torch.tensor([[1, 0, 1], [0, 1, 0]])
    mask = label_mix_mask(labels, coins)
    assert (mask.shape, mask.dtype) == ((B, 1, H, W), torch.float32)
    for b, i, j in np.ndindex(B, H, W):
        assert float(mask[b, 0, i, j]) == float(coins[b, int(labels[b, i, j])])


def test_mix_takes_the_first_where_the_mask_is_one() -> None:
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    first, second = torch.randn(1, 3, 1, 2), torch.randn(1, 3, 1, 2)
    mixed = mix(mask, first, second)
    assert torch.equal(mixed[..., 0], first[..., 0])
    assert torch.equal(mixed[..., 1], second[..., 1])


@torch.no_grad()
def test_label_mix_loss_is_zero_for_a_pointwise_discriminator(labels: torch.Tensor) -> None:
    torch.manual_seed(5)
    pointwise = torch.nn.Conv2d(3, K + 1, 1)
    first, second = torch.randn(B, 3, H, W), torch.randn(B, 3, H, W)
    mask = label_mix_mask(labels, torch.randint(0, 2, (B, K)))
    equivariant = label_mix_loss(mix(mask, pointwise(first), pointwise(second)), pointwise(mix(mask, first, second)))
    assert float(equivariant) == pytest.approx(0.0, abs=1e-10)
    assert float(label_mix_loss(torch.zeros(2, 2), torch.full((2, 2), 3.0))) == pytest.approx(9.0)


def test_the_colour_anchor_sees_block_means_only() -> None:
    checkers = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4).expand(1, 3, 8, 8)
    assert float(colour_anchor_loss(checkers, torch.zeros(1, 3, 8, 8), (2, 4))) == 0.0
    brighter = torch.full((1, 3, 8, 8), 0.25)
    assert float(colour_anchor_loss(brighter, torch.zeros(1, 3, 8, 8), (2, 4))) == pytest.approx(0.25)
    left = torch.zeros(1, 3, 4, 4)
    left[..., :2] = 1.0
    # Blocks of 2: half of them differ by 1. One block of 4: differs by one half.
    assert float(colour_anchor_loss(left, torch.zeros_like(left), (2,))) == pytest.approx(0.5)
    assert float(colour_anchor_loss(left, torch.zeros_like(left), (4,))) == pytest.approx(0.5)
