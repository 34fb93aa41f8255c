"""Hinge, least squares, feature matching and the perceptual term against their formulas, in float64 loops."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from semantic_palette_training.losses import hinge, least_squares
from semantic_palette_training.losses.feature_matching import feature_matching_loss
from semantic_palette_training.losses.perceptual import perceptual_loss


def scores(seed: int) -> list[torch.Tensor]:
    """Two scales of different sizes."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 1, h, h + 1, generator=draw) * 2 for h in (5, 3)]


def mean(values: torch.Tensor, function: Callable[[float], float]) -> float:
    flat = [function(float(value)) for value in values.double().flatten()]
    return sum(flat) / len(flat)


def test_hinge() -> None:
    real, fake = scores(0), scores(1)
    losses = []
    for r, f in zip(real, fake, strict=True):
        losses.append(mean(r, lambda v: max(0.0, 1 - v)) + mean(f, lambda v: max(0.0, 1 + v)))
    expected = np.mean(losses)
    assert float(hinge.discriminator_loss(real, fake)) == pytest.approx(float(expected), rel=1e-5)
    expected = np.mean([mean(f, lambda v: -v) for f in fake])
    assert float(hinge.generator_loss(fake)) == pytest.approx(float(expected), rel=1e-5)


def test_least_squares() -> None:
    real, fake = scores(0), scores(1)
    expected = np.mean(
        [(mean(r, lambda v: (v - 1) ** 2) + mean(f, lambda v: v**2)) / 2 for r, f in zip(real, fake, strict=True)]
    )
    assert float(least_squares.discriminator_loss(real, fake)) == pytest.approx(float(expected), rel=1e-5)
    expected = np.mean([mean(f, lambda v: (v - 1) ** 2) for f in fake])
    assert float(least_squares.generator_loss(fake)) == pytest.approx(float(expected), rel=1e-5)


def test_hinge_gives_no_gradient_beyond_the_margins() -> None:
    real, fake = torch.tensor([2.0, 0.5], requires_grad=True), torch.tensor([-2.0, 0.5], requires_grad=True)
    hinge.discriminator_loss([real], [fake]).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_gradients_of_adversarial_terms_pass_gradcheck() -> None:
    # Away from the margins, where the hinge has a corner; the losses are float32, so the steps are large. Central
    # differences of linear and quadratic functions are exact all the same.
    steps = {"eps": 1e-2, "atol": 1e-3}
    real = torch.tensor([[-1.7, 0.3], [0.6, 2.4]], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([[-2.2, -0.4], [0.5, 1.9]], dtype=torch.float64, requires_grad=True)
    for losses in (hinge, least_squares):
        assert torch.autograd.gradcheck(lambda r, f, of=losses: of.discriminator_loss([r], [f]), (real, fake), **steps)
        assert torch.autograd.gradcheck(lambda f, of=losses: of.generator_loss([f]), (fake,), **steps)


def features(seed: int) -> list[list[torch.Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return [[torch.randn(2, c, n, n, generator=draw) for c in (3, 4, 1)] for n in (6, 3)]


def test_feature_matching_is_equation_four() -> None:
    """Mean absolute difference a layer, summed over layers but the scores, averaged over scales."""
    fake, real = features(0), features(1)
    expected = 0.0
    for scale in range(2):
        for layer in range(2):
            difference = np.abs(fake[scale][layer].double().numpy() - real[scale][layer].double().numpy())
            expected += difference.mean() / 2
    assert float(feature_matching_loss(fake, real)) == pytest.approx(expected, rel=1e-5)


def test_feature_matching_moves_the_fake_features_alone() -> None:
    fake, real = ([[tensor.requires_grad_() for tensor in scale] for scale in features(seed)] for seed in (0, 1))
    feature_matching_loss(fake, real).backward()
    assert all(tensor.grad is None for scale in real for tensor in scale)
    for fakes, reals in zip(fake, real, strict=True):
        for layer in range(2):
            sign = (fakes[layer].detach() - reals[layer].detach()).sign()
            torch.testing.assert_close(fakes[layer].grad, sign / sign.numel() / 2)
        assert fakes[2].grad is None


def test_the_perceptual_term_weights_five_layers() -> None:
    draw = torch.Generator().manual_seed(0)
    fake, real = ([torch.randn(2, c, 3, 3, generator=draw) for c in (2, 3, 4, 5, 6)] for _ in range(2))
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    expected = sum(
        w * np.abs(f.double().numpy() - r.double().numpy()).mean() for w, f, r in zip(weights, fake, real, strict=True)
    )
    assert float(perceptual_loss(fake, real)) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ValueError, match="zip"):
        perceptual_loss(fake[:4], real[:4])
