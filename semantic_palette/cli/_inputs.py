"""Shares on the command line and in files. Names and sums are checked later, against the bundle's label space."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from semantic_palette.editing import Box
from semantic_palette.errors import InvalidInputError


def parse_shares(option: str, values: Sequence[str]) -> dict[str, float]:
    """Parses `CLASS=SHARE` values of an option.

    Raises:
        InvalidInputError: a value is not of that form, or a class comes twice.
    """
    return _parse(option, values, 0.0, "CLASS=SHARE with a share from 0 to 1, such as pedestrian=0.05")


def parse_changes(option: str, values: Sequence[str]) -> dict[str, float]:
    """Parses `CLASS=CHANGE` values of an option; errors as `parse_shares`."""
    return _parse(option, values, -1.0, "CLASS=CHANGE with a change of a share from -1 to 1, such as hair=0.1")


def parse_box(option: str, value: str) -> Box:
    """Parses `LEFT,TOP,RIGHT,BOTTOM` in pixels.

    Raises:
        InvalidInputError: the value is not of that form, or the box is empty.
    """
    parts = value.split(",")
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    if len(parts) != 4 or len(numbers) != 4 or not (numbers[0] < numbers[2] and numbers[1] < numbers[3]):
        allowed = "LEFT,TOP,RIGHT,BOTTOM in pixels with LEFT < RIGHT and TOP < BOTTOM, such as 0,64,128,128"
        raise InvalidInputError(option, value, allowed)
    return Box(*numbers)


def _parse(option: str, values: Sequence[str], least: float, allowed: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        name = name.strip()
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not equals or not name or not least <= share <= 1.0:
            raise InvalidInputError(option, value, allowed)
        if name in shares:
            raise InvalidInputError(option, value, f"{name} was given before; a class is named once")
        shares[name] = share
    return shares


def read_palettes(path: Path) -> list[dict[str, float]]:
    """Reads a JSON list of objects from class name to share.

    Raises:
        InvalidInputError: the file is not that; names the entry.
        OSError: the file cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInputError("--palettes", str(path), f"a JSON file ({error})") from error
    if not isinstance(data, list) or not data:
        what = "an empty list" if data == [] else type(data).__name__
        raise InvalidInputError("--palettes", str(path), f"a JSON list of objects from class name to share, not {what}")
    for i, palette in enumerate(data):
        field = palette_field(path, i)
        if not isinstance(palette, dict):
            raise InvalidInputError(field, palette, "an object from class name to share")
        for name, share in palette.items():
            if isinstance(share, bool) or not isinstance(share, int | float):
                raise InvalidInputError(f"{field}[{name}]", share, "a share is a number from 0 to 1")
    return data


def palette_field(path: Path | str, index: int) -> str:
    """What errors call a palette of a file; palettes are counted from 0."""
    return f"{path}[{index}]"
