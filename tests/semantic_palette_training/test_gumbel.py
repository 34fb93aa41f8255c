"""Gumbel-softmax: that it samples the soft layout, and its straight-through gradient."""

import numpy as np
import torch

from semantic_palette_training.losses.gumbel import gumbel_noise, gumbel_softmax


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return gumbel_noise(shape, torch.Generator().manual_seed(seed))


def test_noise_has_the_moments_of_a_standard_gumbel() -> None:
    drawn = noise(200_000).double().numpy()
    assert abs(drawn.mean() - np.euler_gamma) < 0.01
    assert abs(drawn.var() - np.pi**2 / 6) < 0.03
    assert np.isfinite(drawn).all()


def test_samples_are_one_hot_with_the_frequencies_of_the_soft_layout() -> None:
    shares = torch.tensor([0.6, 0.3, 0.1, 0.0])
    soft = shares.view(1, 4, 1, 1).expand(1, 4, 200, 200)
    sample = gumbel_softmax(soft, noise(1, 4, 200, 200), temperature=0.5)
    assert set(sample.unique().tolist()) == {0.0, 1.0}
    assert (sample.sum(dim=1) == 1).all()
    torch.testing.assert_close(sample.mean(dim=(0, 2, 3)), shares, atol=0.01, rtol=0)
    assert sample[:, 3].sum() == 0


def test_gradient_is_that_of_the_relaxed_sample_in_float64() -> None:
    soft = torch.randn(2, 3, 2, 2, dtype=torch.float64).softmax(dim=1).requires_grad_()
    gumbel = noise(2, 3, 2, 2).double()
    direction = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((gumbel_softmax(soft, gumbel, 0.7) * direction).sum(), soft)

    def relaxed(m: torch.Tensor) -> torch.Tensor:
        powers = (m * gumbel.exp()) ** (1 / 0.7)
        return (powers / powers.sum(dim=1, keepdim=True) * direction).sum()

    torch.testing.assert_close(gradient, torch.func.grad(relaxed)(soft.detach()))
    assert torch.autograd.gradcheck(relaxed, (soft,))


def test_gradient_is_finite_where_a_class_is_forbidden_and_the_temperature_low() -> None:
    soft = torch.tensor([1.0, 0.0, 1e-12]).view(1, 3, 1, 1).expand(1, 3, 4, 4).clone().requires_grad_()
    gumbel_softmax(soft, noise(1, 3, 4, 4), temperature=0.1).square().sum().backward()
    assert soft.grad is not None
    assert soft.grad.isfinite().all()
    assert (soft.grad[:, 1] == 0).all()
