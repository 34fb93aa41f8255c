"""Instance normalisation (Ulyanov et al., 2016) whose gradients can be trusted."""

from torch import nn


class InstanceNorm(nn.GroupNorm):
    """Every channel of every sample to mean 0 and variance 1 over its pixels; no parameters.

    Group normalisation with a group a channel. `nn.InstanceNorm2d` is the same function, but in torch 2.13 on a CPU its
    gradient is wrong for a batch of one sample when the gradient that comes in is channels-last, without any error.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)
