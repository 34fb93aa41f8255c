"""The label space of a user's own data set: one JSON file that names the classes and says how label maps hold them.

    {
      "name": "harbour",
      "classes": [
        {"name": "water", "colour": [30, 100, 200], "values": [3, 4]},
        {"name": "quay", "colour": "#808080", "values": [7]},
        {"name": "void", "values": [0, 255], "evaluated": false}
      ]
    }

`values` are what stands for the class in label maps: numbers, or colours such as "#1e64c8". All classes have them or
none; without them a map of one channel holds ids (positions in the list), and a colour map the classes' colours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette_training.data.colours import colour_code, distinct_colour, hexadecimal, rgb
from semantic_palette_training.data.scene_files import (
    LABEL_MODES,
    IdTable,
    LabelReader,
    SceneFile,
    id_table,
    map_ids,
    open_image,
)
from semantic_palette_training.data.scenes import DataError

_OPTIONAL_KEYS = ("id", "colour", "evaluated", "thing", "values")
_COLOUR_MODES = ("RGB", "RGBA", "P", *LABEL_MODES)
_NUM_VALUES = 65536


@dataclass(frozen=True, slots=True, eq=False)
class FolderLabels:
    """A label space, and what stands for its classes in label maps."""

    space: LabelSpace
    numbers: IdTable | None
    """Class ids of the pixel values of one-channel maps; None where label maps are in colour."""
    colours: Mapping[int, int] | None
    """Class id of every colour, as 0xRRGGBB; None where label maps have one channel."""

    def reader(self) -> LabelReader:
        """The reader of such label maps."""
        return partial(_read_labels, self)


def load_folder_labels(path: Path) -> FolderLabels:
    """Read the JSON file.

    Raises:
        InvalidInputError: there is no such file, it is not JSON, or a key or value is not allowed; names file and key.
    """
    try:
        return folder_labels(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        advice = "a readable file is expected; `semantic-palette data init` writes one"
        raise InvalidInputError("data.label_space", str(path), advice) from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.field}", error.value, error.allowed) from error
    except ValueError as error:
        raise InvalidInputError("data.label_space", str(path), f"a JSON file is expected ({error})") from error


def folder_labels(data: Any) -> FolderLabels:
    """The label space in JSON values; raises InvalidInputError as `load_folder_labels`."""
    if not isinstance(data, dict) or set(data) != {"name", "classes"} or not isinstance(data["classes"], list):
        raise InvalidInputError("label_space", data, "an object with name and a list of classes is expected")
    classes = [_complete(entry, position) for position, entry in enumerate(data["classes"])]
    plain = [{key: value for key, value in entry.items() if key != "values"} for entry in classes]
    space = LabelSpace.from_json({"name": data["name"], "classes": plain})
    without = [position for position, entry in enumerate(classes) if "values" not in entry]
    if len(without) == len(classes):
        codes = [colour_code(label_class.colour) for label_class in space.classes]
        # One colour for several classes is no harm but where label maps are in colour.
        colours = {code: class_id for class_id, code in enumerate(codes)} if len(set(codes)) == len(codes) else None
        return FolderLabels(space, id_table({i: i for i in range(space.num_classes)}), colours)
    if without:
        raise InvalidInputError(f"label_space.classes[{without[0]}].values", None, "all classes have values, or none")
    return _with_values(space, [entry["values"] for entry in classes])


def _complete(entry: object, position: int) -> dict[str, Any]:
    """A class with the id and colour it left out; what it gives is checked where it is used."""
    field = f"label_space.classes[{position}]"
    if not isinstance(entry, dict) or "name" not in entry or not set(entry) <= {"name", *_OPTIONAL_KEYS}:
        raise InvalidInputError(field, entry, f"an object with name, and maybe {', '.join(_OPTIONAL_KEYS)}")
    colour = entry.get("colour", list(distinct_colour(position)))
    if isinstance(colour, str):
        colour = list(rgb(colour, f"{field}.colour"))
    return {**entry, "id": entry.get("id", position), "colour": colour}


def _with_values(space: LabelSpace, values_K: list[Any]) -> FolderLabels:
    numbers: dict[int, int] = {}
    colours: dict[int, int] = {}
    for class_id, values in enumerate(values_K):
        field = f"label_space.classes[{class_id}].values"
        if not isinstance(values, list) or not values:
            raise InvalidInputError(field, values, "a list of numbers or of colours is expected")
        for value in values:
            if isinstance(value, str):
                _claim(colours, colour_code(rgb(value, field)), class_id, space, field)
            elif type(value) is int and 0 <= value < _NUM_VALUES:
                _claim(numbers, value, class_id, space, field)
            else:
                allowed = f"numbers from 0 to {_NUM_VALUES - 1} or colours such as '#1e64c8' are expected"
                raise InvalidInputError(field, value, allowed)
    if numbers and colours:
        raise InvalidInputError("label_space.classes", space.name, "values must be all numbers or all colours")
    return FolderLabels(space, id_table(numbers, max(numbers) + 1) if numbers else None, colours or None)


def _claim(taken: dict[int, int], value: int, class_id: int, space: LabelSpace, field: str) -> None:
    if value in taken:
        raise InvalidInputError(field, value, f"it stands for class {space.names[taken[value]]!r} already")
    taken[value] = class_id


def _read_labels(labels: FolderLabels, file: SceneFile) -> NDArray[np.uint8]:
    label_map, source = open_image(file.labels), str(file.labels)
    if labels.numbers is not None and label_map.mode in LABEL_MODES:
        return map_ids(np.asarray(label_map).astype(np.int32), labels.numbers, source)
    if labels.colours is not None and label_map.mode in _COLOUR_MODES:
        return _map_colours(label_map, labels.colours, labels.space, source)
    if labels.colours is None:
        raise DataError(
            f"{source}: mode {label_map.mode!r}; values of label space {labels.space.name!r} are numbers, so a label "
            "map must have one channel"
        )
    raise DataError(f"{source}: mode {label_map.mode!r}, a label map must have one channel or 8-bit colours")


def _map_colours(
    label_map: Image.Image, colours: Mapping[int, int], space: LabelSpace, source: str
) -> NDArray[np.uint8]:
    """Class ids uint8 [H, W] of a map in colours; every pixel must have one of them exactly."""
    codes = colour_codes(label_map)
    known = np.array(sorted(colours), np.int32)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    strange = codes[known[places] != codes]
    if strange.size:
        found, counts = np.unique(strange, return_counts=True)
        first = [f"{hexadecimal(int(found[i]))} ({counts[i]} pixels)" for i in np.argsort(-counts, kind="stable")[:5]]
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(f"{source}: colours {', '.join(first)}{more} are no class of label space {space.name!r}")
    ids = np.array([colours[int(code)] for code in known], np.uint8)
    return ids[places]


def colour_codes(label_map: Image.Image) -> NDArray[np.int32]:
    """The colours of an image as numbers 0xRRGGBB, int32 [H, W]; transparency is ignored."""
    red, green, blue = np.moveaxis(np.asarray(label_map.convert("RGB")).astype(np.int32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue)
