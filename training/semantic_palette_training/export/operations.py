"""The operations of a bundle: a network as trained, the same folded for export, and the tensors that go in and out.

Shape suffixes: B batch, Z latent, K classes, S style size, H and W pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.manifest import BATCH_AXIS, TensorSpec
from semantic_palette_training.export.folding import fold
from semantic_palette_training.export.modules import (
    EditOperation,
    ImageOperation,
    LatentImageOperation,
    LayoutOperation,
    LayoutScores,
    StyledImageOperation,
    StyleEncoderOperation,
)
from semantic_palette_training.models.editor import LayoutEditor
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.progressive import LayoutGenerator
from semantic_palette_training.models.sean import SeanGenerator
from semantic_palette_training.scene_shape import SceneShape

Network = TypeVar("Network", bound=nn.Module)
Arrays = Mapping[str, NDArray[Any]]

_MAX_ROWS = 4
"""Samples that are run at once: large generators need gigabytes for more."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One model of a bundle."""

    name: str
    """Key in the manifest and stem of the files."""
    reference: nn.Module
    """The network as trained, in evaluation mode: what exported files are compared with."""
    module: nn.Module
    """The same, folded: what is exported."""
    inputs: tuple[TensorSpec, ...]
    """In the order of the module's arguments."""
    output: TensorSpec
    weights: str
    """Stem of the file of its weights; operations of one network share it."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Those of the manifest."""

    def run(self, inputs: Arrays) -> NDArray[Any]:
        """The reference's output for inputs by name; eager, fp32."""
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in self.inputs]
        starts = range(0, len(tensors[0]), _MAX_ROWS)
        with torch.no_grad():
            parts = [self.reference(*(tensor[start : start + _MAX_ROWS] for tensor in tensors)) for start in starts]
        return torch.cat(parts).numpy()

    def example(self, batch_size: int) -> tuple[Tensor, ...]:
        """Inputs of the right shapes and types: zeros of bytes, and vectors of equal shares."""
        return tuple(_example(spec, batch_size) for spec in self.inputs)

    def latent_size(self) -> int:
        """Length of the noise vector; 0 without one."""
        return next((int(spec.shape[1]) for spec in self.inputs if spec.name == "z"), 0)

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def macs(self) -> int:
        """Multiply-accumulates of one sample; convolutions and matrix products are counted."""
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            self.module(*self.example(1))
        return int(counter.get_total_flops()) // 2


def layout_operations(generator: LayoutGenerator) -> tuple[Operation, Operation]:
    """Layout and layout_scores of a trained generator. Both take a palette, also of a generator that has no use for
    one."""
    shape, folded = generator.shape, fold(generator)
    inputs = (_floats("z", generator.config.latent_size), _floats("palette", shape.num_classes))
    scores = _floats("scores", shape.num_classes, shape.height, shape.width)
    return (
        _operation("layout", LayoutOperation, (generator, folded), inputs, _labels(shape)),
        _operation("layout_scores", LayoutScores, (generator, folded), inputs, scores, weights="layout"),
    )


def editor_operation(editor: LayoutEditor) -> Operation:
    """The operation of a trained editor."""
    shape = editor.shape
    z, palette = _floats("z", editor.config.latent_size), _floats("palette", shape.num_classes + 1)
    inputs = (z, _labels(shape), _labels(shape, "mask"), palette)
    made = _operation("editor", EditOperation, (editor, fold(editor)), inputs, _labels(shape, "edited"))
    return replace(made, attributes={"budget": editor.config.budget})


def image_operations(generator: LayoutToImage) -> tuple[Operation, ...]:
    """The image operation of a trained generator and, of a styled one, its style encoder."""
    labels, image = _labels(generator.shape), _image(generator.shape)
    if isinstance(generator, SeanGenerator):
        return _styled_operations(generator)
    networks = (generator, fold(generator))
    if not generator.latent_size:
        return (_operation("image", ImageOperation, networks, (labels,), image),)
    z = _floats("z", generator.latent_size)
    return (_operation("image", LatentImageOperation, networks, (labels, z), image),)


def _styled_operations(generator: SeanGenerator) -> tuple[Operation, Operation]:
    """Image and style_encoder; what is exported of each is the part of the network that it runs."""
    labels, image = _labels(generator.shape), _image(generator.shape)
    styles = _floats("styles", generator.shape.num_classes, generator.style_size)
    painter, encoder = fold(generator), fold(generator)
    for name, _ in list(generator.named_children()):
        delattr(painter if name == "encoder" else encoder, name)
    return (
        _operation("image", StyledImageOperation, (generator, painter), (labels, styles), image),
        _operation("style_encoder", StyleEncoderOperation, (generator, encoder), (image, labels), styles),
    )


def _operation(
    name: str,
    wrap: Callable[[Network], nn.Module],
    networks: tuple[Network, Network],
    inputs: tuple[TensorSpec, ...],
    output: TensorSpec,
    *,
    weights: str | None = None,
) -> Operation:
    """An operation of a network as trained and the same folded."""
    reference, module = (wrap(network).eval() for network in networks)
    return Operation(name, reference, module, inputs, output, weights or name)


def _image(shape: SceneShape) -> TensorSpec:
    return TensorSpec("image", "uint8", [BATCH_AXIS, shape.height, shape.width, 3])


def _floats(name: str, *sizes: int) -> TensorSpec:
    return TensorSpec(name, "float32", [BATCH_AXIS, *sizes])


def _labels(shape: SceneShape, name: str = "labels") -> TensorSpec:
    return TensorSpec(name, "uint8", [BATCH_AXIS, shape.height, shape.width])


def _example(spec: TensorSpec, batch_size: int) -> Tensor:
    sizes = [batch_size if isinstance(size, str) else size for size in spec.shape]
    if spec.dtype == "uint8":
        return torch.zeros(sizes, dtype=torch.uint8)
    return torch.full(sizes, 1.0 / sizes[-1])
