"""The operations a bundle ships, as modules: everything between the bytes that come in and the bytes that go out.

Shape suffixes: B batch, Z latent, K classes, H and W pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.manifest import BATCH_AXIS, TensorSpec
from semantic_palette_training.export.folding import fold
from semantic_palette_training.models.image_generator import ImageGenerator
from semantic_palette_training.models.progressive import LayoutGenerator
from semantic_palette_training.models.saa import FORBIDDEN, log_omega


class LayoutScores(nn.Module):
    """Noise and a palette to SAA's log omega, whose arg-max over classes is the natural layout (section 3.1)."""

    def __init__(self, generator: LayoutGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, palette: Tensor) -> Tensor:
        """Scores float32 [B, K, H, W] of z float32 [B, Z] and palette float32 [B, K]; -1e9 where the share is 0."""
        weights_BKHW = log_omega(self.generator.scores(z, palette), palette)
        return torch.where(palette[:, :, None, None] > 0, weights_BKHW, FORBIDDEN)


class LayoutOperation(nn.Module):
    """Noise and a palette to class ids: the arg-max of SAA. A class whose share is 0 never appears."""

    def __init__(self, generator: LayoutGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, palette: Tensor) -> Tensor:
        """Class ids uint8 [B, H, W] of z float32 [B, Z] and palette float32 [B, K]."""
        return log_omega(self.generator.scores(z, palette), palette).argmax(dim=1).to(torch.uint8)


class ImageOperation(nn.Module):
    """Class ids and noise to an RGB image, 8 bits a channel."""

    def __init__(self, generator: ImageGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, labels: Tensor, z: Tensor) -> Tensor:
        """Image uint8 [B, H, W, 3] of labels uint8 [B, H, W] and z float32 [B, Z]."""
        image_B3HW = self.generator(labels, z)
        scaled_B3HW = torch.round((image_B3HW + 1.0) * 127.5).clamp(0.0, 255.0)
        return scaled_B3HW.to(torch.uint8).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Operation:
    """One model of a bundle."""

    name: str
    """Key in the manifest and stem of the files: layout, layout_scores or image."""
    reference: nn.Module
    """The network as trained, in evaluation mode: what exported files are compared with."""
    module: nn.Module
    """The same, folded: what is exported."""
    inputs: tuple[TensorSpec, TensorSpec]
    output: TensorSpec

    def run(self, *arrays: NDArray[np.generic]) -> NDArray[np.generic]:
        """The reference's output for inputs in the order of `inputs`; eager, fp32."""
        with torch.no_grad():
            result: Tensor = self.reference(*(torch.from_numpy(array) for array in arrays))
        return result.numpy()

    def example(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Inputs of the right shapes and types: class 0 everywhere, or vectors of equal shares."""
        first, second = (_example(spec, batch_size) for spec in self.inputs)
        return first, second

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def macs(self) -> int:
        """Multiply-accumulates of one sample; convolutions and matrix products are counted."""
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            self.module(*self.example(1))
        return int(counter.get_total_flops()) // 2


def layout_operations(generator: LayoutGenerator, height: int, width: int) -> tuple[Operation, Operation]:
    """Layout and layout_scores of a trained generator whose last level has this size."""
    config = generator.config
    inputs = (
        TensorSpec("z", "float32", [BATCH_AXIS, config.latent_size]),
        TensorSpec("palette", "float32", [BATCH_AXIS, config.num_classes]),
    )
    labels = TensorSpec("labels", "uint8", [BATCH_AXIS, height, width])
    scores = TensorSpec("scores", "float32", [BATCH_AXIS, config.num_classes, height, width])
    folded = fold(generator)
    return (
        Operation("layout", LayoutOperation(generator).eval(), LayoutOperation(folded).eval(), inputs, labels),
        Operation("layout_scores", LayoutScores(generator).eval(), LayoutScores(folded).eval(), inputs, scores),
    )


def image_operation(generator: ImageGenerator) -> Operation:
    """The image operation of a trained generator, at its full size."""
    config = generator.config
    size = [config.height, config.width]
    return Operation(
        "image",
        ImageOperation(generator).eval(),
        ImageOperation(fold(generator)).eval(),
        (
            TensorSpec("labels", "uint8", [BATCH_AXIS, *size]),
            TensorSpec("z", "float32", [BATCH_AXIS, config.latent_size]),
        ),
        TensorSpec("image", "uint8", [BATCH_AXIS, *size, 3]),
    )


def _example(spec: TensorSpec, batch_size: int) -> Tensor:
    sizes = [batch_size if isinstance(size, str) else size for size in spec.shape]
    if spec.dtype == "uint8":
        return torch.zeros(sizes, dtype=torch.uint8)
    return torch.full(sizes, 1.0 / sizes[-1])
