"""What the networks of a recipe cost, without data and without memory: they are built on torch's meta device."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette_training.data.scenes import label_space_of
from semantic_palette_training.models.image_generator import ImageGenerator
from semantic_palette_training.models.progressive import LayoutDiscriminator, LayoutGenerator
from semantic_palette_training.models.segmentation_discriminator import SegmentationDiscriminator
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.trainers.image import image_model_configs
from semantic_palette_training.trainers.layout import layout_model_config


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of a network and work of one forward pass of one sample."""

    parameters: int
    flop: int
    """Floating-point operations, two a multiply-add; convolutions and matrix products alone."""


def costs(recipe: Recipe) -> dict[str, Cost]:
    """The cost of every network that the recipe trains, by name."""
    num_classes = label_space_of(recipe.data).num_classes
    height, width = recipe.data.height, recipe.data.width
    layout = layout_model_config(recipe.layout, num_classes)
    image, segmenter = image_model_configs(recipe.image, num_classes, height, width)
    with torch.device("meta"):
        z_BZ = torch.zeros(1, layout.latent_size)
        layout_BKHW = torch.zeros(1, num_classes, *layout.resolution(layout.num_levels - 1))
        labels_BHW = torch.zeros(1, height, width, dtype=torch.uint8)
        return {
            "layout generator": _cost(LayoutGenerator(layout), z_BZ, torch.zeros(1, num_classes)),
            "layout discriminator": _cost(LayoutDiscriminator(layout), layout_BKHW, layout.num_levels - 1),
            "image generator": _cost(ImageGenerator(image).eval(), labels_BHW, torch.zeros(1, image.latent_size)),
            "image discriminator": _cost(SegmentationDiscriminator(segmenter).eval(), torch.zeros(1, 3, height, width)),
        }


def _cost(network: nn.Module, *inputs: object) -> Cost:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(*inputs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, int(counter.get_total_flops()))
