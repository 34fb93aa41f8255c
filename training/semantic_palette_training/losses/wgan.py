"""Wasserstein objective with gradient penalty (Gulrajani et al., 2017), as section 3.2 uses it."""

from collections.abc import Callable

import torch
from torch import Tensor


def critic_loss(real_scores_B: Tensor, fake_scores_B: Tensor) -> Tensor:
    """Negated estimate of the Wasserstein distance, which the discriminator minimises."""
    return fake_scores_B.float().mean() - real_scores_B.float().mean()


def generator_loss(fake_scores_B: Tensor) -> Tensor:
    """What the generator minimises."""
    return -fake_scores_B.float().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real_BKHW: Tensor, fake_BKHW: Tensor) -> Tensor:
    """Mean of (norm of the critic's gradient - 1)^2 at points drawn uniformly between real and fake samples.

    Draws from torch's global generator. The graph is kept, so that the penalty can be differentiated.
    """
    mix = torch.rand(real_BKHW.shape[0], 1, 1, 1, device=real_BKHW.device)
    between = torch.lerp(fake_BKHW.detach().float(), real_BKHW.float(), mix).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).float().sum(), between, create_graph=True)
    norms_B = gradient.flatten(1).float().norm(dim=1)
    penalty: Tensor = (norms_B - 1.0).square().mean()
    return penalty
