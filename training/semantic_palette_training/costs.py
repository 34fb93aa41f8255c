"""What the networks of a recipe cost, without data and without memory: they are built on torch's meta device.

Legend: B batch (1), Z latent, K classes, E = K + 1 classes with the background last, H and W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette_training.data.registry import scene_shape
from semantic_palette_training.models.editor import LayoutEditor
from semantic_palette_training.models.image_generators import build_image_generator
from semantic_palette_training.models.layout_to_image import LayoutToImage
from semantic_palette_training.models.patch_discriminator import PatchDiscriminator
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator, ProgressiveConfig
from semantic_palette_training.models.sean import SeanGenerator
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.scene_shape import SceneShape
from semantic_palette_training.trainers.editor_config import EditorTrainConfig
from semantic_palette_training.trainers.image_config import ImageTrainConfig
from semantic_palette_training.trainers.objectives import build_discriminator


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of a network and work of one forward pass of one sample."""

    parameters: int
    flop: int
    """Floating-point operations, two a multiply-add; convolutions and matrix products alone."""


def costs(recipe: Recipe) -> dict[str, Cost]:
    """The cost of every network that the recipe trains, by name, at the full size of the scenes.

    Raises:
        InvalidInputError: a config does not fit the scenes, or the label space cannot be read.
    """
    shape = scene_shape(recipe.data)
    found: dict[str, Cost] = {}
    with torch.device("meta"), torch.no_grad():
        if recipe.layout is not None:
            found |= _layout_costs(recipe.layout.generator, shape)
        if recipe.editor is not None:
            found |= _editor_costs(recipe.editor, shape)
        if recipe.image is not None:
            found |= _image_costs(recipe.image, shape)
        if recipe.end_to_end is not None:
            discriminator = PatchDiscriminator(recipe.end_to_end.discriminator, 3)
            found["unconditional image discriminator"] = _cost(
                discriminator, torch.zeros(1, 3, shape.height, shape.width)
            )
    return found


def _layout_costs(config: ProgressiveConfig, shape: SceneShape) -> dict[str, Cost]:
    palette_BK = torch.zeros(1, shape.num_classes)
    return {
        "layout generator": _cost(LayoutGenerator(config, shape), torch.zeros(1, config.latent_size), palette_BK),
        "layout discriminator": _judge_cost(config, shape),
    }


def _editor_costs(config: EditorTrainConfig, shape: SceneShape) -> dict[str, Cost]:
    z_BZ, palette_BE = torch.zeros(1, config.generator.latent_size), torch.zeros(1, shape.num_classes + 1)
    return {
        "editor": _cost(LayoutEditor(config.generator, shape), z_BZ, _layout(shape), palette_BE),
        "editor discriminator": _judge_cost(config.discriminator(shape), shape),
    }


def _judge_cost(config: ProgressiveConfig, shape: SceneShape) -> Cost:
    palette_BK = torch.zeros(1, shape.num_classes)
    return _cost(LayoutDiscriminator(config, shape), _layout(shape), config.num_levels - 1, 1.0, palette_BK)


def _image_costs(config: ImageTrainConfig, shape: SceneShape) -> dict[str, Cost]:
    discriminator = build_discriminator(config.objective, shape)
    channels: int = discriminator.in_channels  # type: ignore[assignment]
    return {
        "image generator": _cost(_Drawing(build_image_generator(config.generator, shape)), _layout(shape)),
        "image discriminator": _cost(discriminator, torch.zeros(1, channels, shape.height, shape.width)),
    }


class _Drawing(nn.Module):
    """An image generator with all that one image takes: of a styled one also the styles of another image."""

    def __init__(self, generator: LayoutToImage) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, layout_BKHW: Tensor) -> Tensor:
        """Image [1, 3, H, W] of a layout."""
        code = torch.zeros(1, *self.generator.code_shape)
        if isinstance(self.generator, SeanGenerator):
            code = self.generator.encode(torch.zeros(1, 3, *layout_BKHW.shape[2:]), layout_BKHW)
        return self.generator.from_layout(layout_BKHW, code)


def _layout(shape: SceneShape) -> Tensor:
    return torch.zeros(1, shape.num_classes, shape.height, shape.width)


def _cost(network: nn.Module, *inputs: object) -> Cost:
    counter = FlopCounterMode(display=False)
    with counter:
        network.eval()(*inputs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, int(counter.get_total_flops()))
