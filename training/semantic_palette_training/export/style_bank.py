"""The style bank of a styled image operation: looks of training scenes, to borrow where a layout has no image.

Shape suffixes: M scenes of the bank, K classes, S style size.
"""

from pathlib import Path

import numpy as np

from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.inputs import class_presence
from semantic_palette_training.export.operations import Operation

BANK_SIZE = 64
"""Scenes of a bank: 2.5 MB for 19 classes and codes of 512 components."""


def write_style_bank(encoder: Operation, train: Scenes, path: Path) -> None:
    """Write the codes of training scenes, spread over all of them.

    The file has styles float32 [M, K, S], as the trained encoder gives them, and present bool [M, K]: which classes a
    scene has. The codes of the others are zero.
    """
    rows = np.unique(np.linspace(0, len(train) - 1, BANK_SIZE).round().astype(np.int64))
    labels = np.ascontiguousarray(train.labels[rows])
    styles_MKS = encoder.run({"image": train.images[rows], "labels": labels})
    with path.open("wb") as file:
        np.savez(file, styles=styles_MKS, present=class_presence(labels, styles_MKS.shape[1]))
