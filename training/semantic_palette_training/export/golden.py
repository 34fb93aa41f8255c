"""Golden samples: inputs and eager fp32 outputs that engines are checked against wherever a bundle is loaded.

Shape suffixes: N samples, Z latent, K classes, H and W pixels.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.export.modules import Operation

GOLDEN_SIZE = 16
GOLDEN_SEED = 0

Arrays = dict[str, NDArray[np.generic]]


def golden_samples(
    layout: Operation, image: Operation, palette_model: PaletteModel, layouts_NHW: NDArray[np.uint8]
) -> Arrays:
    """The arrays of golden.npz.

    Args:
        layout: the layout operation.
        image: the image operation.
        palette_model: source of the palettes.
        layouts_NHW: label maps that the image operation is checked on, at least one; spread over all of them.

    Returns:
        palettes float32 [16, K], z_layout float32 [16, Z] and labels uint8 [16, H, W] (what `layout` makes of them);
        layouts uint8 [16, H, W], z_image float32 [16, Z] and images uint8 [16, H, W, 3] (what `image` makes of them).
    """
    palettes = palette_model.sample(GOLDEN_SEED, 0, GOLDEN_SIZE).palettes.astype(np.float32)
    z_layout = noise_rows(layout, GOLDEN_SEED, GOLDEN_SIZE)
    chosen = np.linspace(0, len(layouts_NHW) - 1, GOLDEN_SIZE).round().astype(np.int64)
    layouts, z_image = layouts_NHW[chosen], noise_rows(image, GOLDEN_SEED, GOLDEN_SIZE)
    return {
        "palettes": palettes,
        "z_layout": z_layout,
        "labels": layout.run(z_layout, palettes),
        "layouts": layouts,
        "z_image": z_image,
        "images": image.run(layouts, z_image),
    }


def noise_rows(operation: Operation, seed: int, count: int) -> NDArray[np.float32]:
    """The noise that serving gives samples 0 to count-1 of this seed: float32 [N, Z]."""
    (spec,) = (spec for spec in operation.inputs if spec.name == "z")
    latent_size = int(spec.shape[1])
    stage = "image" if operation.name == "image" else "layout"
    return np.stack([standard_normal(seed, index, stage, (latent_size,)) for index in range(count)])


def write_golden(samples: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    """Write the arrays, without pickling."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **samples)
