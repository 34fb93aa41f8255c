"""The Wasserstein objective and its gradient penalty against closed forms and an independent float64 computation."""

import numpy as np
import pytest
import torch

from semantic_palette_training.losses.wgan import gradient_penalty
from semantic_palette_training.models.progressive import LayoutDiscriminator, ProgressiveConfig
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.critic import judge_fakes, judge_reals


def test_what_is_judged_leaves_the_gradients_of_differences_of_means() -> None:
    """Of f(x) = w . x: the critic's loss is mean f(fake) - mean f(real), the generator's -mean f(fake)."""
    weight = torch.randn(1, 2, 2, 4, requires_grad=True)
    real, fake = torch.randn(3, 2, 2, 4), torch.randn(3, 2, 2, 4)

    def scores(x_BKHW: torch.Tensor) -> torch.Tensor:
        return (x_BKHW * weight).sum(dim=(1, 2, 3))

    score, gradient = judge_fakes(scores, fake, 0.25)
    torch.testing.assert_close(score, scores(fake).mean().detach())
    torch.testing.assert_close(gradient, (-0.25 / 3 * weight.detach()).expand(3, -1, -1, -1))
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 0.25 * fake.mean(dim=0, keepdim=True))
    torch.testing.assert_close(judge_reals(scores, real, 0.25), scores(real).mean().detach())
    torch.testing.assert_close(weight.grad, 0.25 * (fake - real).mean(dim=0, keepdim=True))


def test_penalty_of_a_linear_critic_is_known_everywhere() -> None:
    weight = torch.randn(1, 3, 4, 8)
    penalty = gradient_penalty(
        lambda x: (x * weight).sum(dim=(1, 2, 3)), torch.randn(5, 3, 4, 8), torch.randn(5, 3, 4, 8), torch.rand(5)
    )
    assert penalty.item() == pytest.approx(((weight.norm() - 1) ** 2).item(), rel=1e-4)


def test_penalty_of_a_quadratic_critic_is_taken_at_the_given_points() -> None:
    real, fake, mix = torch.randn(4, 2, 4, 4), torch.randn(4, 2, 4, 4), torch.rand(4)
    penalty = gradient_penalty(lambda x: 0.5 * x.square().sum(dim=(1, 2, 3)), real, fake, mix)
    shares = mix.double().numpy()[:, None, None, None]
    between = shares * real.double().numpy() + (1 - shares) * fake.double().numpy()
    norms = np.sqrt(np.square(between).sum(axis=(1, 2, 3)))
    assert penalty.item() == pytest.approx(np.square(norms - 1).mean(), rel=1e-5)


def test_penalty_can_be_differentiated() -> None:
    weight = torch.ones(1, 1, 2, 2, requires_grad=True)
    zeros, ones = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), zeros, ones, torch.rand(2)).backward()
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w| with |w| = 2.
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("batch_deviation", [False, True])
def test_gradients_of_the_discriminators_penalty_are_those_of_finite_differences(
    conditional: bool, batch_deviation: bool
) -> None:
    """Of every weight, in float64: the activations' second derivatives are written by hand."""
    torch.manual_seed(5)
    config = ProgressiveConfig(
        latent_size=2, widths=(4, 3), discriminator_conditioning=conditional, batch_deviation=batch_deviation
    )
    critic = LayoutDiscriminator(config, SceneShape(3, 8, 16)).double()
    real, fake = (torch.randn(2, 3, 8, 16).double().softmax(dim=1) for _ in range(2))
    mix, shares = torch.rand(2).double(), real.mean(dim=(2, 3))
    parameters = dict(critic.named_parameters())

    def penalty(*values: torch.Tensor) -> torch.Tensor:
        changed = dict(zip(parameters, values, strict=True))
        return gradient_penalty(
            lambda x: torch.func.functional_call(critic, changed, (x, 1, 0.6, shares)), real, fake, mix
        )

    assert torch.autograd.gradcheck(penalty, tuple(parameters.values()), fast_mode=True)
