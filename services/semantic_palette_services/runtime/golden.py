"""Golden outputs of a bundle: what its models answered, in eager single precision, when it was exported."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import BundleError
from semantic_palette_services.runtime.item_queue import Arrays

ARRAYS = ("palettes", "z_layout", "labels", "layouts", "z_image", "images")


class Golden:
    """The arrays of ``golden.npz``, N samples each.

    Attributes:
        palettes: float32 [N, K], z_layout float32 [N, Z] and the labels uint8 [N, H, W] that they give.
        layouts: uint8 [N, H, W], z_image float32 [N, Zi] and the images uint8 [N, H, W, 3] that they give.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.palettes: NDArray[np.float32] = arrays["palettes"]
        self.z_layout: NDArray[np.float32] = arrays["z_layout"]
        self.labels: NDArray[np.uint8] = arrays["labels"]
        self.layouts: NDArray[np.uint8] = arrays["layouts"]
        self.z_image: NDArray[np.float32] = arrays["z_image"]
        self.images: NDArray[np.uint8] = arrays["images"]

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read the file; nothing in it is unpickled.

        Raises:
            BundleError: the file cannot be read, lacks an array, or its arrays have different numbers of samples.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays: dict[str, NDArray[Any]] = {name: file[name] for name in ARRAYS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path}: cannot be read as golden outputs: {error}") from error
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise BundleError(f"{path}: arrays must have the same number of samples, at least 1, not {counts}")
        return cls(arrays)

    def __len__(self) -> int:
        return len(self.palettes)

    def inputs(self, operation: str) -> dict[str, NDArray[Any]]:
        """Inputs of a model: those of "image", or those that "layout" and "layout_scores" share."""
        if operation == "image":
            return {"labels": self.layouts, "z": self.z_image}
        return {"z": self.z_layout, "palette": self.palettes}
