"""The discriminator as a segmenter (Schoenfeld et al., OASIS, 2021): every pixel is one of K classes, or fake.

Legend: B batch, K classes, C channels, H and W pixels.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.models.layers import leaky_relu
from semantic_palette_training.models.spectral_norm import spectral_norm
from semantic_palette_training.scene_shape import SceneShape


@dataclass(kw_only=True, slots=True)
class SegmentationDiscriminatorConfig:
    """Shape of a segmentation discriminator."""

    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Channels of each level, finest first; the first works at half the image's resolution."""


class SegmentationDiscriminator(nn.Module):
    """A U-Net from an image to per-pixel logits of K classes and, last, of "fake".

    The image enters as 2x2 blocks of pixels and the logits leave the same way: full-resolution decisions at a quarter
    of the cost. Skips are added rather than concatenated. All convolutions are spectrally normalised (OASIS,
    section 3); there is no other normalisation, so a sample's logits do not depend on the batch.
    """

    def __init__(self, config: SegmentationDiscriminatorConfig, shape: SceneShape) -> None:
        super().__init__()
        self.config = config
        self.in_channels = 3
        widths = config.widths
        steps = list(pairwise(widths))
        self.stem = _conv(3 * 4, widths[0], 3)
        self.down = nn.ModuleList(spectral_norm(nn.Conv2d(c, d, 4, stride=2, padding=1)) for c, d in steps)
        self.middle = _conv(widths[-1], widths[-1], 3)
        self.lateral = nn.ModuleList(_conv(d, c, 1) for c, d in steps)
        self.up = nn.ModuleList(_conv(c, c, 3) for c in widths[:-1])
        self.head = _conv(widths[0], 4 * (shape.num_classes + 1), 1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Logits [B, K+1, H, W]; the last channel means fake.

        Raises:
            InvalidInputError: H or W is not a multiple of 2^levels.
        """
        scale = 2 ** len(self.config.widths)
        if image_B3HW.shape[2] % scale or image_B3HW.shape[3] % scale:
            raise InvalidInputError("image", tuple(image_B3HW.shape[2:]), f"multiples of {scale} are expected")
        features = [leaky_relu(self.stem(functional.pixel_unshuffle(image_B3HW, 2)))]
        for down in self.down:
            features.append(leaky_relu(down(features[-1])))
        x_BCHW = leaky_relu(self.middle(features[-1])) + features[-1]
        for level in reversed(range(len(self.up))):
            x_BCHW = functional.interpolate(self.lateral[level](x_BCHW), scale_factor=2.0, mode="nearest")
            x_BCHW = leaky_relu(x_BCHW + features[level])
            x_BCHW = x_BCHW + leaky_relu(self.up[level](x_BCHW))
        return functional.pixel_shuffle(self.head(x_BCHW), 2)


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    module: nn.Module = spectral_norm(nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2))
    return module
