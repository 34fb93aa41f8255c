"""Label spaces: which classes there are, what they are called and how they are shown.

A class id is the value of its pixels in a layout; the ids of a space are 0 to K-1.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semantic_palette import _builtin_label_spaces
from semantic_palette.errors import InvalidInputError, UnknownClassError, shorten

MAX_CLASSES = 256
"""Layouts are 8-bit."""


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class of a label space."""

    id: int
    """Value of the pixels of this class."""
    name: str
    colour: tuple[int, int, int]
    """Display colour, 8-bit RGB."""
    evaluated: bool = True
    """Whether the class counts in evaluation."""
    thing: bool = False
    """Whether the class is countable (a thing) rather than stuff."""


class LabelSpace:
    """A named, ordered set of classes.

    Raises:
        InvalidInputError: When ids are not 0 to K-1 in order, there are none or more than 256, a name is empty or
            taken (names are compared as `id_of` does), or a colour is not three 8-bit values.
    """

    def __init__(self, name: str, classes: Iterable[LabelClass]) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.num_classes = len(self.classes)
        if not name:
            raise InvalidInputError("label_space.name", name, "a label space has a name")
        if not 1 <= self.num_classes <= MAX_CLASSES:
            raise InvalidInputError("label_space.classes", self.num_classes, f"1 to {MAX_CLASSES} classes are allowed")
        self._ids: dict[str, int] = {}
        for position, label_class in enumerate(self.classes):
            self._add(position, label_class)
        self.names = tuple(label_class.name for label_class in self.classes)
        self.evaluated_ids = tuple(label_class.id for label_class in self.classes if label_class.evaluated)

    def _add(self, position: int, label_class: LabelClass) -> None:
        field = f"label_space.classes[{position}]"
        if label_class.id != position:
            raise InvalidInputError(f"{field}.id", label_class.id, f"ids are consecutive from 0; expected {position}")
        key = _normalised(label_class.name)
        if not key or key in self._ids:
            raise InvalidInputError(f"{field}.name", label_class.name, "names are unique and not empty")
        if len(label_class.colour) != 3 or not all(0 <= channel <= 255 for channel in label_class.colour):
            raise InvalidInputError(f"{field}.colour", label_class.colour, "three values from 0 to 255 are allowed")
        self._ids[key] = position

    @property
    def colours(self) -> npt.NDArray[np.uint8]:
        """Display colours, uint8 [K, 3], RGB."""
        return np.array([label_class.colour for label_class in self.classes], dtype=np.uint8)

    def id_of(self, name: str, field: str = "class") -> int:
        """Returns the id of a class; case, spaces, `_` and `-` do not matter.

        Raises:
            UnknownClassError: Names the classes there are.
        """
        try:
            return self._ids[_normalised(name)]
        except KeyError:
            known = ", ".join(self.names)
            raise UnknownClassError(field, name, f"the classes of {self.name} are {known}") from None

    def to_json(self) -> dict[str, Any]:
        """Returns the space as plain JSON values; `from_json` reads them."""
        classes = [asdict(label_class) | {"colour": list(label_class.colour)} for label_class in self.classes]
        return {"name": self.name, "classes": classes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LabelSpace":
        """Reads what `to_json` wrote; `evaluated` and `thing` may be left out.

        Raises:
            InvalidInputError: When a key is missing or unknown, or a value has the wrong type.
        """
        if not isinstance(data, Mapping) or set(data) != {"name", "classes"} or not isinstance(data["classes"], list):
            raise InvalidInputError("label_space", data, "an object with name and a list of classes is allowed")
        if not isinstance(data["name"], str):
            raise InvalidInputError("label_space.name", data["name"], "a string is allowed")
        return cls(data["name"], [_class_from_json(entry, i) for i, entry in enumerate(data["classes"])])

    @classmethod
    def load(cls, path: Path) -> "LabelSpace":
        """Reads a JSON file.

        Raises:
            InvalidInputError: When the file is not JSON or not a label space.
            OSError: When the file cannot be read.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidInputError("label_space", str(path), f"a JSON file is allowed ({error})") from error
        return cls.from_json(data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelSpace):
            return NotImplemented
        return self.name == other.name and self.classes == other.classes

    def __hash__(self) -> int:
        return hash((self.name, self.classes))

    def __repr__(self) -> str:
        return f"LabelSpace({self.name!r}, {self.num_classes} classes)"


def label_space(name: str) -> LabelSpace:
    """Returns a built-in label space: camvid, cityscapes, idd, ade-indoor, celebamask-hq or streets.

    Raises:
        InvalidInputError: When there is no such space.
    """
    for space in BUILT_IN:
        if space.name == name:
            return space
    raise InvalidInputError("label_space", name, f"built in are {', '.join(space.name for space in BUILT_IN)}")


def _normalised(name: str) -> str:
    return name.casefold().translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", " _-")

_CLASS_TYPES = {"id": int, "name": str, "colour": list, "evaluated": bool, "thing": bool}


def _class_from_json(entry: object, position: int) -> LabelClass:
    field = f"label_space.classes[{position}]"
    if not isinstance(entry, dict) or not {"id", "name", "colour"} <= set(entry) <= set(_CLASS_TYPES):
        raise InvalidInputError(field, entry, "an object with id, name, colour, and maybe evaluated and thing")
    for key, value in entry.items():
        # Not isinstance: a JSON `true` is an int to Python.
        if type(value) is not _CLASS_TYPES[key]:
            raise InvalidInputError(f"{field}.{key}", value, f"{_CLASS_TYPES[key].__name__} is allowed")
    if not all(type(channel) is int for channel in entry["colour"]):
        raise InvalidInputError(f"{field}.colour", shorten(entry["colour"]), "three values from 0 to 255 are allowed")
    return LabelClass(**{**entry, "colour": tuple(entry["colour"])})


def _space(name: str, table: str) -> LabelSpace:
    """Builds a space from a table of `_builtin_label_spaces`."""
    rows = [line.split() for line in table.strip().splitlines()]
    classes = [
        LabelClass(i, row[0], _rgb(row[1]), evaluated="ignored" not in row[2:], thing="thing" in row[2:])
        for i, row in enumerate(rows)
    ]
    return LabelSpace(name, classes)


def _rgb(hexadecimal: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(hexadecimal)
    return red, green, blue


CAMVID = _space("camvid", _builtin_label_spaces.CAMVID)
CITYSCAPES = _space("cityscapes", _builtin_label_spaces.CITYSCAPES)
IDD = _space("idd", _builtin_label_spaces.IDD)
ADE_INDOOR = _space("ade-indoor", _builtin_label_spaces.ADE_INDOOR)
CELEBAMASK_HQ = _space("celebamask-hq", _builtin_label_spaces.CELEBAMASK_HQ)
STREETS = _space("streets", _builtin_label_spaces.STREETS)

BUILT_IN = (CAMVID, CITYSCAPES, IDD, ADE_INDOOR, CELEBAMASK_HQ, STREETS)
"""Where their definitions come from is told in `_builtin_label_spaces`."""
