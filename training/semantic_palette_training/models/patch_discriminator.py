"""Discriminators that judge patches at several scales (Isola et al., 2017; Wang et al., 2018, section 3.2).

Legend: B batch, C channels, H and W pixels.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from semantic_palette_training.config import require_at_least, require_sizes
from semantic_palette_training.models.instance_norm import InstanceNorm
from semantic_palette_training.models.layers import leaky_relu
from semantic_palette_training.models.spectral_norm import spectral_norm

PatchFeatures = list[Tensor]
"""What one scale makes of images: the features of every layer, and last the scores of patches, [B, 1, h, w]."""


@dataclass(kw_only=True, slots=True)
class PatchDiscriminatorConfig:
    """Shape of a patch discriminator."""

    widths: tuple[int, ...] = (64, 128, 256)
    """Channels of the layers of a scale; each halves the resolution."""
    scales: int = 2
    """Networks of the same shape, each on the image at half the resolution of the one before."""
    spectral: bool = True
    """Spectral normalisation of all layers but the first and the last (GauGAN); pix2pixHD has none."""

    def check(self, path: str) -> None:
        """Raise an InvalidInputError that names the field, as a part of the section `path`, out of range."""
        require_sizes(f"{path}.widths", self.widths)
        require_at_least(f"{path}.scales", self.scales, 1)


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of images, each scale by itself.

    Conditional when the layout is concatenated to the image, unconditional on images alone. Instance normalisation
    in all layers but the first and the last, so a sample's scores do not depend on the batch.

    Args:
        config: its shape.
        in_channels: of the input: K + 3, or 3.
    """

    def __init__(self, config: PatchDiscriminatorConfig, in_channels: int) -> None:
        super().__init__()
        self.config = config
        self.in_channels = in_channels
        self.scales = nn.ModuleList(PatchScale(config, in_channels) for _ in range(config.scales))

    def forward(self, x_BCHW: Tensor) -> list[PatchFeatures]:
        """Features and scores of every scale, finest first."""
        outputs = []
        for index, scale in enumerate(self.scales):
            if index:
                x_BCHW = functional.avg_pool2d(x_BCHW, 3, stride=2, padding=1, count_include_pad=False)
            outputs.append(scale(x_BCHW))
        return outputs


class PatchScale(nn.Module):
    """One scale: 4x4 convolutions and leaky ReLU, then one score a patch."""

    def __init__(self, config: PatchDiscriminatorConfig, in_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, config.widths[0], 4, stride=2, padding=2)
        self.middle = nn.ModuleList(_middle(c, d, config.spectral) for c, d in pairwise(config.widths))
        self.last = nn.Conv2d(config.widths[-1], 1, 4, padding=2)

    def forward(self, x_BCHW: Tensor) -> PatchFeatures:
        """Features of every layer and, last, the scores [B, 1, h, w]."""
        features = [leaky_relu(self.first(x_BCHW))]
        for layer in self.middle:
            features.append(leaky_relu(layer(features[-1])))
        return [*features, self.last(features[-1])]


def _middle(in_channels: int, out_channels: int, spectral: bool) -> nn.Module:
    # The instance norm takes away any bias.
    convolution = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=2, bias=False)
    return nn.Sequential(spectral_norm(convolution) if spectral else convolution, InstanceNorm(out_channels))
