"""What training by a recipe takes: operations, counted without doing them, and hours on the device at hand."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import label_space_of, scene_shape
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.pipeline import StageInputs, new_stage
from semantic_palette_training.recipe import Recipe
from semantic_palette_training.trainers.context import TrainContext
from semantic_palette_training.trainers.loop import Stage

_NUM_SCENES = 8
_RATE_CHANNELS, _RATE_SIZE = 128, (32, 64)


@dataclass(frozen=True, slots=True)
class Rate:
    """Speed of a device in training, floating-point operations a second."""

    single: float
    """Networks in float32."""
    autocast: float
    """Networks in bfloat16."""


def training_flop(recipe: Recipe) -> dict[str, float]:
    """Floating-point operations that each stage of the recipe takes, over all its steps.

    One step of every phase is run on torch's meta device, on which convolutions and matrix products, those of the
    backward passes and of the gradient penalty included, are counted (two operations a multiply-add) but not done.
    """
    inputs = StageInputs(
        recipe, Path(), _empty_scenes(recipe), _flat_palettes(recipe), TrainContext(torch.device("meta"))
    )
    inputs.validation = inputs.train
    return {name: _stage_flop(new_stage(name, inputs), recipe) for name in recipe.stages() if name != "palette"}


def hours(recipe: Recipe, flop: dict[str, float], rate: Rate) -> float:
    """Hours of all stages, one after the other, at a measured rate."""
    seconds = 0.0
    for name, operations in flop.items():
        seconds += operations / (rate.autocast if getattr(recipe, name).autocast else rate.single)
    return seconds / 3600


def measured_rate(device: torch.device, seconds: float = 30.0) -> Rate:
    """The rate of forward and backward passes through 3x3 convolutions, half the time in each precision."""
    context = TrainContext(device)
    layers = [nn.Conv2d(_RATE_CHANNELS, _RATE_CHANNELS, 3, padding=1) for _ in range(4)]
    network = context.place(nn.Sequential(*layers))
    batch_size = 256 if device.type == "cuda" else 8
    x_BCHW = torch.zeros(batch_size, _RATE_CHANNELS, *_RATE_SIZE, device=device).requires_grad_(True)

    def rate(autocast: bool) -> float:
        def run() -> None:
            with context.autocast(autocast):
                network(x_BCHW).sum().backward()

        with FlopCounterMode(display=False) as counter:
            run()
        passes, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 2:
            run()
            passes += 1
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return passes * counter.get_total_flops() / (time.perf_counter() - start)

    return Rate(single=rate(False), autocast=rate(True))


def _stage_flop(stage: Stage, recipe: Recipe) -> float:
    config = getattr(recipe, stage.name)
    lengths = [phase.steps for phase in config.phases] if hasattr(config, "phases") else [config.steps]
    total, first = 0.0, 0
    for length in lengths:
        if length:
            total += length * _step_flop(stage, first + length - 1, getattr(config, "penalty_every", 1))
        first += length
    return total


def _step_flop(stage: Stage, last: int, penalty_every: int) -> float:
    """Operations of a step near `last`, averaged over those with and those without a gradient penalty."""
    with_penalty = last - last % penalty_every
    counts = []
    for step in (with_penalty, with_penalty + 1) if penalty_every > 1 else (with_penalty,):
        stage.step_index = step
        with FlopCounterMode(display=False) as counter:
            stage.run_step()
        counts.append(counter.get_total_flops())
    return float(counts[0] + (penalty_every - 1) * counts[-1]) / penalty_every


def _empty_scenes(recipe: Recipe) -> Scenes:
    """Scenes of the recipe's shape with nothing on them."""
    shape, space = scene_shape(recipe.data), label_space_of(recipe.data)
    labels = np.zeros((_NUM_SCENES, shape.height, shape.width), np.uint8)
    labels[:, ::2] = shape.num_classes - 1
    images = np.zeros((*labels.shape, 3), np.uint8)
    return Scenes(labels, images, space, [str(index) for index in range(_NUM_SCENES)])


def _flat_palettes(recipe: Recipe) -> PaletteModel:
    """A palette model around equal shares."""
    num_classes = scene_shape(recipe.data).num_classes
    means = np.full((1, num_classes), 1 / num_classes)
    return PaletteModel(np.ones(1), means, 1e-8 * np.eye(num_classes)[None])
