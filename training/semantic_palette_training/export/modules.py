"""What bundles ship, as modules: everything between the bytes that come in and the bytes that go out.

The names of forward's arguments are those of the tensors in the manifest.

Shape suffixes: B batch, Z latent, K classes, E = K + 1 (background last), S style size, H and W pixels.
"""

import torch
from torch import Tensor, nn

from semantic_palette_training.models.editor import LayoutEditor
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.progressive import LayoutGenerator
from semantic_palette_training.models.saa import FORBIDDEN
from semantic_palette_training.models.sean import SeanGenerator
from semantic_palette_training.models.spade import one_hot


class LayoutOperation(nn.Module):
    """Noise and a palette to class ids. With SAA, a class whose share is 0 never appears."""

    def __init__(self, generator: LayoutGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, palette: Tensor) -> Tensor:
        """Class ids uint8 [B, H, W] of z float32 [B, Z] and palette float32 [B, K]."""
        return self.generator.scores(z, palette).argmax(dim=1).to(torch.uint8)


class LayoutScores(nn.Module):
    """Noise and a palette to what `LayoutOperation` takes the arg-max of, for exact budgets.

    With semantically-assisted activation that is log omega (section 3.1). Layout generators without it, the baselines,
    give log-probabilities of classes; theirs may hold classes whose share is 0.
    """

    def __init__(self, generator: LayoutGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, palette: Tensor) -> Tensor:
        """Scores float32 [B, K, H, W] of z float32 [B, Z] and palette float32 [B, K]; log omega of a class whose share
        is 0 is -1e9."""
        scores_BKHW = self.generator.scores(z, palette)
        if self.generator.config.conditioning != "saa":
            return torch.log_softmax(scores_BKHW, dim=1)
        return torch.where(palette[:, :, None, None] > 0, scores_BKHW, FORBIDDEN)


class EditOperation(nn.Module):
    """A layout, the pixels that may change and a palette to the layout edited (section 4.2)."""

    def __init__(self, editor: LayoutEditor) -> None:
        super().__init__()
        self.editor = editor

    def forward(self, z: Tensor, labels: Tensor, mask: Tensor, palette: Tensor) -> Tensor:
        """Class ids uint8 [B, H, W], those of `labels` wherever `mask` is 0, of z float32 [B, Z], labels and mask
        uint8 [B, H, W] and palette float32 [B, E]."""
        return self.editor.labels(z, labels, mask, palette)


class ImageOperation(nn.Module):
    """Class ids to an RGB image, 8 bits a channel, for generators that take nothing else."""

    def __init__(self, generator: LayoutToImage) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, labels: Tensor) -> Tensor:
        """Image uint8 [B, H, W, 3] of labels uint8 [B, H, W]."""
        return _to_bytes(self.generator(labels, torch.zeros(labels.shape[0], 0)))


class LatentImageOperation(nn.Module):
    """Class ids and noise to an RGB image, 8 bits a channel."""

    def __init__(self, generator: LayoutToImage) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, labels: Tensor, z: Tensor) -> Tensor:
        """Image uint8 [B, H, W, 3] of labels uint8 [B, H, W] and z float32 [B, Z]."""
        return _to_bytes(self.generator(labels, z))


class StyledImageOperation(nn.Module):
    """Class ids and a style for each class to an RGB image, 8 bits a channel."""

    def __init__(self, generator: LayoutToImage) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, labels: Tensor, styles: Tensor) -> Tensor:
        """Image uint8 [B, H, W, 3] of labels uint8 [B, H, W] and styles float32 [B, K, S]."""
        return _to_bytes(self.generator(labels, styles))


class StyleEncoderOperation(nn.Module):
    """An image and its layout to the look of every class in it."""

    def __init__(self, generator: SeanGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, image: Tensor, labels: Tensor) -> Tensor:
        """Styles float32 [B, K, S], zeros for classes that are absent, of image uint8 [B, H, W, 3] and labels."""
        image_B3HW = image.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        styles_BKS: Tensor = self.generator.encode(image_B3HW, one_hot(labels, self.generator.shape.num_classes))
        return styles_BKS.float()


def _to_bytes(image_B3HW: Tensor) -> Tensor:
    """Images from [-1, 1] to uint8 [B, H, W, 3]."""
    scaled_B3HW = torch.round((image_B3HW + 1.0) * 127.5).clamp(0.0, 255.0)
    return scaled_B3HW.to(torch.uint8).permute(0, 2, 3, 1)
