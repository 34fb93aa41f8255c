"""Streets: procedural urban scenes with their label maps, so that everything runs with no data at all.

The scenes are ours to give away: 12 classes of the label space STREETS, any resolution, any number, seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import STREETS
from semantic_palette_training.config import require_at_least
from semantic_palette_training.data.scenes import Scenes, Split
from semantic_palette_training.data.streets_layout import paint_scene
from semantic_palette_training.data.streets_render import render
from semantic_palette_training.data.streets_stage import Choices

# Splits take scenes of one seed from ranges that no count reaches across.
_FIRST_INDEX: dict[Split, int] = {"train": 0, "val": 2**40, "test": 2**41}


@dataclass(kw_only=True, slots=True)
class StreetsData:
    """Procedural scenes, at one size."""

    name: Literal["streets"] = "streets"
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""
    count: int = 512
    """Number of training scenes; a validation or test split has a quarter of it."""
    seed: int = 0
    """Seed of the scenes."""


def streets(count: int, seed: int, height: int, width: int, first_index: int = 0) -> Scenes:
    """Scenes `first_index` to `first_index + count - 1` of a seed, at height x width pixels.

    Scene i depends on (seed, i) alone, whatever the count; another resolution shows the same scene. Labels and image
    agree in every pixel.

    Raises:
        InvalidInputError: `count`, `height` or `width` below 1, or `seed` or `first_index` negative.
    """
    limits = {"count": (count, 1), "seed": (seed, 0), "height": (height, 1), "width": (width, 1)}
    for field, (value, lowest) in (limits | {"first_index": (first_index, 0)}).items():
        if value < lowest:
            raise InvalidInputError(field, value, f"it must be at least {lowest}")
    labels = np.empty((count, height, width), np.uint8)
    images = np.empty((count, height, width, 3), np.uint8)
    for position in range(count):
        scene = paint_scene(Choices(seed, first_index + position), height, width)
        labels[position], images[position] = scene.labels(), render(scene)
    names = [f"streets_{seed}_{first_index + position}" for position in range(count)]
    return Scenes(labels, images, STREETS, names)


def streets_split(config: StreetsData, split: Split) -> Scenes:
    """The training scenes (`count` of them), or a quarter as many for another split; splits share no scene.

    Raises:
        InvalidInputError: a field of the config is below its lowest value.
    """
    require_at_least("data.count", config.count, 1)
    require_at_least("data.seed", config.seed, 0)
    size = config.count if split == "train" else max(1, config.count // 4)
    return streets(size, config.seed, config.height, config.width, _FIRST_INDEX[split])
