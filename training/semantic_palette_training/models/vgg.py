"""The features of VGG19 (Simonyan and Zisserman, 2015) that the perceptual loss compares.

Its weights are the user's to supply: nothing is downloaded, and a file is read only after its digest is checked.
"""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semantic_palette.errors import InvalidInputError

#: Output channels of the convolutions up to conv5_1, a tuple a block; blocks are separated by max pooling.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))


@dataclass(kw_only=True, slots=True)
class PerceptualConfig:
    """The perceptual term and the weights that it needs."""

    weights: str
    """File of VGG19's weights as torchvision saves them: a state dict whose keys begin with `features.0.weight`."""
    sha256: str
    """Digest of the file, 64 hexadecimal digits."""
    weight: float = 10.0
    """Of the term in the generator's loss (the paper: 10)."""


class Vgg19Features(nn.Module):
    """VGG19 up to relu5_1, with its layers numbered as in torchvision.

    Images enter in [-1, 1] as they are, which is what the published weights of the loss terms were chosen for.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.taps: list[int] = []
        """Which layers give the features: the first ReLU of every block."""
        in_channels = 3
        for index, block in enumerate(_BLOCKS):
            layers += [nn.MaxPool2d(2)] if index else []
            self.taps.append(len(layers) + 1)
            for channels in block:
                layers += [nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU()]
                in_channels = channels
        self.features = nn.Sequential(*layers)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of images of at least 16x16 pixels."""
        x_BCHW, tapped = image_B3HW, []
        for index, layer in enumerate(self.features):
            x_BCHW = layer(x_BCHW)
            if index in self.taps:
                tapped.append(x_BCHW)
        return tapped


def load_vgg19(config: PerceptualConfig) -> Vgg19Features:
    """The network with the user's weights, frozen, in evaluation mode.

    Raises:
        InvalidInputError: the file is missing, has another digest, or does not hold VGG19's weights.
    """
    path = Path(config.weights)
    if not path.is_file():
        raise InvalidInputError(
            "image.objective.perceptual.weights", config.weights, "a file with VGG19's weights is expected"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != config.sha256.lower():
        raise InvalidInputError("image.objective.perceptual.sha256", config.sha256, f"{path} has the digest {digest}")
    network = Vgg19Features()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        network.load_state_dict({name: state[name] for name in network.state_dict()})
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            "image.objective.perceptual.weights",
            config.weights,
            f"torchvision's state dict of VGG19 is expected ({error})",
        ) from error
    return network.eval().requires_grad_(False)
