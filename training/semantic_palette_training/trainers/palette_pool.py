"""The palettes that a stage asks for, drawn once: the choice among them is a step's."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes

_POOL_SIZE = 16384


def palette_pool(
    source: Literal["model", "data"], seed: int, scenes: Scenes, palettes: PaletteModel, device: torch.device
) -> Tensor:
    """Palettes on the device, float32 [P, K]: drawn from the palette model, or those of the scenes."""
    pool = scenes.palettes() if source == "data" else palettes.sample(seed, 0, _POOL_SIZE).palettes
    return torch.from_numpy(pool.astype(np.float32)).to(device)
