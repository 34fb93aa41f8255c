"""A first label space file for a folder of images and label maps: what is in the label maps, for the user to name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.label_space import MAX_CLASSES
from semantic_palette_training.data.colours import colour_code, distinct_colour, hexadecimal
from semantic_palette_training.data.folder import FolderData, folder_files
from semantic_palette_training.data.folder_labels import colour_codes
from semantic_palette_training.data.scene_files import LABEL_MODES, open_image
from semantic_palette_training.data.scenes import DataError, Split

#: The customary number for pixels that are of no class.
_IGNORED = 255


@dataclass(slots=True)
class FoundValue:
    """A value of label maps."""

    share: float = 0.0
    """Mean over scenes of its share of the pixels."""
    scenes: int = 0
    """Scenes that contain it."""


@dataclass(slots=True)
class FoundValues:
    """All that is in the label maps of a folder."""

    in_colour: bool
    """Whether label maps are colour images; their values are then numbers 0xRRGGBB."""
    scenes: int = 0
    values: dict[int, FoundValue] = field(default_factory=dict)
    """In ascending order."""


def scan_values(config: FolderData, on_scene: Callable[[int, int], None] = lambda done, total: None) -> FoundValues:
    """Read every label map of the training and validation splits; no label space is needed yet.

    Args:
        config: which folder.
        on_scene: called with the label maps read so far and their number.

    Raises:
        DataError: there are no scenes, a label map cannot be read, some are in colour and others not, or they hold
            more values than there can be classes; the message names the file.
    """
    splits: tuple[Split, ...] = ("train", "val")
    files = [file.labels for split in splits for file in folder_files(config, split)[0]]
    if not files:
        raise DataError(f"{config.root}: no image with a label map was found")
    found = FoundValues(in_colour=_is_colour(files[0]))
    for path in files:
        values, counts = np.unique(_values(path, found.in_colour), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            entry = found.values.setdefault(value, FoundValue())
            entry.share += count / (int(counts.sum()) * len(files))
            entry.scenes += 1
        if len(found.values) > MAX_CLASSES:
            what = "colours" if found.in_colour else "values"
            raise DataError(
                f"{path}: with it, the label maps hold more than {MAX_CLASSES} {what}, which no label space can; they "
                "look like instance ids, depth, or masks with smoothed borders"
            )
        found.scenes += 1
        on_scene(found.scenes, len(files))
    found.values = dict(sorted(found.values.items()))
    return found


def label_space_text(name: str, found: FoundValues) -> str:
    """A label space file with a class for every value, one a line, to be named by hand."""
    ids = list(found.values) == list(range(len(found.values)))
    classes: list[dict[str, Any]] = []
    for position, value in enumerate(found.values):
        if found.in_colour:
            classes.append({"name": f"class_{position}", "colour": hexadecimal(value)})
            continue
        colour = hexadecimal(colour_code(distinct_colour(position)))
        void = value == _IGNORED
        entry = {"name": "void" if void else f"class_{value}", "colour": colour}
        # Where the values are the ids already, saying so would only be one more thing to keep right.
        classes.append(entry | ({} if ids else {"values": [value]}) | ({"evaluated": False} if void else {}))
    lines = ",\n".join(f"    {json.dumps(entry)}" for entry in classes)
    return f'{{\n  "name": {json.dumps(name)},\n  "classes": [\n{lines}\n  ]\n}}\n'


def _is_colour(path: Path) -> bool:
    return open_image(path).mode not in LABEL_MODES


def _values(path: Path, in_colour: bool) -> NDArray[np.int32]:
    label_map = open_image(path)
    if (label_map.mode not in LABEL_MODES) != in_colour:
        kinds = ("one channel", "colours") if in_colour else ("colours", "one channel")
        raise DataError(f"{path}: has {kinds[0]} (mode {label_map.mode}), other label maps have {kinds[1]}")
    return colour_codes(label_map) if in_colour else np.asarray(label_map).astype(np.int32)
