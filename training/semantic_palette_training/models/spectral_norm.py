"""Spectral normalisation (Miyato et al., 2018): a convolution's weights divided by their largest singular value.

torch's own runs its power iteration in bfloat16 under autocast, and takes seconds to build a network whose operations
are counted on the meta device but not done.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_FIRST_ITERATIONS = 15


def spectral_norm(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution, its weight from now on a matrix [out, in * h * w] of spectral norm 1."""
    norm = SpectralNorm(convolution.weight)
    parametrize.register_parametrization(convolution, "weight", norm)
    return convolution


class SpectralNorm(nn.Module):
    """Estimates the largest singular value by one step of power iteration a pass in training; float32 always.

    In evaluation the estimate is that of the last training pass.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", _unit(torch.randn(matrix.shape[0])))
        self.register_buffer("right", _unit(torch.randn(matrix.shape[1])))
        for _ in range(0 if weight.is_meta else _FIRST_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by its spectral norm; through which the singular vectors get no gradient."""
        off = nullcontext() if weight.is_meta else torch.autocast(weight.device.type, enabled=False)
        with off:
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix.detach())
            # Copies, since a later pass may come before this one's backward.
            left, right = self.get_buffer("left").clone(), self.get_buffer("right").clone()
            return weight / torch.dot(left, torch.mv(matrix, right))

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        left, right = self.get_buffer("left"), self.get_buffer("right")
        right.copy_(_unit(torch.mv(matrix.t(), left)))
        left.copy_(_unit(torch.mv(matrix, right)))


def _unit(vector: Tensor) -> Tensor:
    return vector * torch.rsqrt(vector.square().sum().clamp_min(1e-24))
