"""A recipe's stages built on torch's meta device: nothing is held in memory or computed, but wrong values show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import label_space_of, scene_shape
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.stages import StageInputs, new_stage
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.loop import Stage

_NUM_SCENES = 8


def rehearse(recipe: Recipe, stages: Sequence[str], world_size: int = 1) -> None:
    """Build the stages and let `world_size` processes share their batches.

    Raises:
        InvalidInputError: a value is out of range, or does not fit the scenes, the rest of its section or the number of
            processes; names the key.
    """
    inputs = meta_inputs(recipe)
    processes = TrainContext(inputs.context.device, world_size=world_size)
    for name in stages:
        if name == "palette":
            continue
        meta_stage(name, inputs)
        for key, batch_size in _batches(name, getattr(recipe, name)):
            processes.shards(batch_size, key)


def _batches(stage: str, config: Any) -> list[tuple[str, int]]:
    """The global batches of a stage by their keys in the recipe."""
    if not hasattr(config, "phases"):
        return [(f"{stage}.batch_size", config.batch_size)]
    return [(f"{stage}.phases[{index}].batch_size", phase.batch_size) for index, phase in enumerate(config.phases)]


def meta_stage(name: str, inputs: StageInputs) -> Stage:
    """A stage whose networks are made on the meta device, not moved there: weights are neither drawn nor held."""
    with torch.device("meta"):
        return new_stage(name, inputs)


def meta_inputs(recipe: Recipe) -> StageInputs:
    """Inputs of the recipe's stages on the meta device: scenes with next to nothing on them, palettes around equal
    shares."""
    shape = scene_shape(recipe.data)
    labels = np.zeros((_NUM_SCENES, shape.height, shape.width), np.uint8)
    labels[:, ::2] = shape.num_classes - 1
    images = np.zeros((*labels.shape, 3), np.uint8)
    names = [str(index) for index in range(_NUM_SCENES)]
    scenes = Scenes(labels, images, label_space_of(recipe.data), names)
    means = np.full((1, shape.num_classes), 1 / shape.num_classes)
    palettes = PaletteModel(np.ones(1), means, 1e-8 * np.eye(shape.num_classes)[None])
    return StageInputs(recipe, scenes, palettes, TrainContext(torch.device("meta")), lambda: scenes)
