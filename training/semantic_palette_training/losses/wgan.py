"""The gradient penalty of Wasserstein GANs (Gulrajani et al., 2017), as section 3.2 uses it.

Shape suffixes: B batch, K classes, H and W pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from semantic_palette_training.precision import at_least_float32


def gradient_penalty(critic: Callable[[Tensor], Tensor], real_BKHW: Tensor, fake_BKHW: Tensor, mix_B: Tensor) -> Tensor:
    """Mean of (norm of the critic's gradient - 1)^2 at points between real and fake samples.

    The graph is kept, so that the penalty can be differentiated.

    Args:
        critic: samples to scores [B]; a conditional one judges by the real samples' codes.
        real_BKHW: real samples.
        fake_BKHW: as many generated ones; no gradient reaches them.
        mix_B: uniform in [0, 1]: each point's share of the real sample.
    """
    mix_B111 = mix_B[:, None, None, None]
    between = torch.lerp(at_least_float32(fake_BKHW.detach()), at_least_float32(real_BKHW.detach()), mix_B111)
    between.requires_grad_(True)
    (gradient,) = torch.autograd.grad(at_least_float32(critic(between)).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()
    return penalty
