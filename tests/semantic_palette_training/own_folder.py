"""A user's folder for tests: procedural scenes as PNG files, with label values that are not 0 to K - 1."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from semantic_palette.label_space import STREETS
from semantic_palette_training.data.streets import streets

#: Label value of every class, as an annotation tool may have chosen them.
VALUES = np.array([3, 7, 8, 11, 12, 13, 17, 19, 20, 24, 26, 255], np.uint8)


def write_folder(root: Path, *, label_space: bool = True, height: int = 24, width: int = 48, **splits: int) -> Path:
    """`root/<split>/{images,labels}` with the given number of scenes each, none of them twice."""
    for number, (split, count) in enumerate(splits.items()):
        scenes = streets(count, number, height, width)
        for index in range(count):
            save(root / split / "images" / f"{index:03}.png", scenes.images[index])
            save(root / split / "labels" / f"{index:03}.png", VALUES[scenes.labels[index]])
    if label_space:
        classes = [{"name": name, "values": [int(value)]} for name, value in zip(STREETS.names, VALUES, strict=True)]
        (root / "label_space.json").write_text(json.dumps({"name": "mine", "classes": classes}))
    return root


def save(path: Path, array: np.ndarray) -> None:
    """Write an image file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
