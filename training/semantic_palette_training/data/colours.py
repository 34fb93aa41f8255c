"""Colours of classes as people write them, and distinct ones for classes that have none."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

from semantic_palette.errors import InvalidInputError

_HEXADECIMAL = re.compile(r"#[0-9a-fA-F]{6}")
#: Steps of the golden ratio around the colour circle keep any number of first hues far from each other.
_GOLDEN_RATIO = (5**0.5 - 1) / 2


def distinct_colour(position: int) -> tuple[int, int, int]:
    """A colour for the class at `position`, 8-bit RGB; the first hundreds differ from each other."""
    hue = (position * _GOLDEN_RATIO) % 1
    saturation, value = ((0.85, 0.95), (0.5, 0.8), (0.9, 0.6), (0.35, 1.0))[position % 4]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def rgb(text: str, field: str) -> tuple[int, int, int]:
    """8-bit RGB of a colour such as `#1e64c8`; raises an InvalidInputError that names `field`."""
    if not _HEXADECIMAL.fullmatch(text):
        raise InvalidInputError(field, text, "a colour such as '#1e64c8' is expected")
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def colour_code(colour: Sequence[int]) -> int:
    """A colour, 8-bit RGB, as the number 0xRRGGBB."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def hexadecimal(code: int) -> str:
    """The text `#rrggbb` of the number 0xRRGGBB."""
    return f"#{code:06x}"
