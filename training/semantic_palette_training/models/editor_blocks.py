"""SPADE residual blocks of the partial editor (section 4.2; Park et al., 2019), which see a layout and no latent vector.

Legend: B batch, L channels of the layout, C and D features, H and W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.models.layers import LEAKY_SLOPE, leaky_relu
from semantic_palette_training.models.spade import STATISTICS_MOMENTUM


class SpectralConv2d(nn.Module):
    """Convolution whose weight matrix is divided by its largest singular value (Miyato et al., 2018).

    The value is estimated by a power iteration, of which every pass in training mode makes one step; in evaluation
    mode the weight is a constant. Keeps the spatial size. The estimate is float32 under autocast too, which torch's
    own parametrisation of the same name does not see to.
    """

    left_D: Tensor
    right_I: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_normal_(self.weight, LEAKY_SLOPE)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.padding = kernel_size // 2
        fan_in = in_channels * kernel_size**2
        self.register_buffer("left_D", functional.normalize(torch.randn(out_channels), dim=0))
        self.register_buffer("right_I", functional.normalize(torch.randn(fan_in), dim=0))
        for _ in range(10):
            self._iterate()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve with the normalised weight."""
        return functional.conv2d(x_BCHW, self.normalised_weight(), self.bias, padding=self.padding)

    def normalised_weight(self) -> Tensor:
        """The weight that convolves, float32 [D, C, k, k]."""
        if self.training:
            self._iterate()
        # Copies, since the next pass changes the buffers in place and this pass may not have been differentiated.
        left_D1, right_I = self.left_D.clone()[:, None], self.right_I.clone()
        return self.weight / (self.weight.flatten(1) * right_I * left_D1).sum()

    @torch.no_grad()
    def _iterate(self) -> None:
        # Products and sums, not matrix products, which autocast would run in bfloat16.
        matrix_DI = self.weight.flatten(1)
        self.left_D.copy_(functional.normalize((matrix_DI * self.right_I).sum(dim=1), dim=0))
        self.right_I.copy_(functional.normalize((matrix_DI * self.left_D[:, None]).sum(dim=0), dim=0))


class Spade(nn.Module):
    """Batch normalisation without parameters of its own, scaled and shifted by two convolutions over the layout.

        y = gamma(layout) * (x - mean) / std + beta(layout)

    Mean and variance of a channel are the batch's in training (Park et al., eqs. 2 and 3) and their running averages,
    constants, in evaluation: what is served does not depend on its company.
    """

    def __init__(self, channels: int, layout_channels: int, hidden: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, momentum=STATISTICS_MOMENTUM, affine=False)
        self.shared = nn.Conv2d(layout_channels, hidden, 3, padding=1)
        self.maps = nn.Conv2d(hidden, 2 * channels, 3, padding=1)
        # The maps hold gamma, then beta; gamma starts around one.
        gamma, beta = self.maps.bias.data.chunk(2)  # type: ignore[union-attr]
        gamma.fill_(1.0)
        beta.zero_()

    def forward(self, x_BCHW: Tensor, layout_BLHW: Tensor) -> Tensor:
        """Normalise and modulate; same shape as `x_BCHW`."""
        gamma_BCHW, beta_BCHW = self.maps(functional.relu(self.shared(layout_BLHW))).chunk(2, dim=1)
        return torch.addcmul(beta_BCHW, self.normalise(x_BCHW), gamma_BCHW)


class SpadeResidualBlock(nn.Module):
    """Two spectrally normalised convolutions, each after SPADE and a leaky ReLU, beside a shortcut.

    Where the number of channels changes the shortcut is a learned 1x1 convolution after a SPADE of its own.
    """

    def __init__(self, in_channels: int, out_channels: int, layout_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.norm_0 = Spade(in_channels, layout_channels, hidden)
        self.conv_0 = SpectralConv2d(in_channels, middle, 3)
        self.norm_1 = Spade(middle, layout_channels, hidden)
        self.conv_1 = SpectralConv2d(middle, out_channels, 3)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.norm_shortcut = Spade(in_channels, layout_channels, hidden)
            self.conv_shortcut = SpectralConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x_BCHW: Tensor, layout_BLHW: Tensor) -> Tensor:
        """Features [B, D, H, W] of features [B, C, H, W] and the layout at their resolution."""
        shortcut_BDHW = x_BCHW
        if self.learned_shortcut:
            shortcut_BDHW = self.conv_shortcut(self.norm_shortcut(x_BCHW, layout_BLHW))
        h_BCHW = self.conv_0(leaky_relu(self.norm_0(x_BCHW, layout_BLHW)))
        out_BDHW: Tensor = self.conv_1(leaky_relu(self.norm_1(h_BCHW, layout_BLHW)))
        return shortcut_BDHW + out_BDHW
