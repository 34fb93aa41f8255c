"""The Wasserstein objective and its gradient penalty against closed forms."""

import pytest
import torch

from semantic_palette_training.losses.wgan import critic_loss, generator_loss, gradient_penalty


def test_losses_are_differences_of_means() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    assert float(critic_loss(real, fake)) == pytest.approx(-0.5 - 2.0)
    assert float(generator_loss(fake)) == pytest.approx(0.5)


def test_penalty_of_a_linear_critic_is_known_everywhere() -> None:
    weight = torch.randn(1, 3, 4, 8)
    penalty = gradient_penalty(
        lambda x: (x * weight).sum(dim=(1, 2, 3)), torch.randn(5, 3, 4, 8), torch.randn(5, 3, 4, 8)
    )
    assert penalty.item() == pytest.approx(((weight.norm() - 1) ** 2).item(), rel=1e-4)


def test_penalty_of_a_quadratic_critic_matches_float64_at_the_same_points() -> None:
    real, fake = torch.randn(4, 2, 4, 4), torch.randn(4, 2, 4, 4)
    torch.manual_seed(11)
    penalty = gradient_penalty(lambda x: 0.5 * x.square().sum(dim=(1, 2, 3)), real, fake)
    torch.manual_seed(11)
    mix = torch.rand(4, 1, 1, 1).double()
    between = fake.double() + mix * (real.double() - fake.double())
    expected = (between.flatten(1).norm(dim=1) - 1).square().mean()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)


def test_penalty_can_be_differentiated() -> None:
    weight = torch.ones(1, 1, 2, 2, requires_grad=True)
    penalty = gradient_penalty(
        lambda x: (x * weight).sum(dim=(1, 2, 3)), torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    )
    penalty.backward()  # type: ignore[no-untyped-call]
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w| with |w| = 2.
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.ones(1, 1, 2, 2))
