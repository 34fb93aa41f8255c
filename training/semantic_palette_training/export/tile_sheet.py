"""Rows of pictures with captions, as one picture.

Lengths are pixels of the sheet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _RULE = (250, 250, 248), (34, 36, 40), (226, 227, 229)
_MARGIN, _GAP = 28, 12
_TITLE, _HEADING = 26, 15
_TILE_HEIGHT = 128
_LEAST_WIDTH = 640


@dataclass(frozen=True, slots=True)
class TileRow:
    """One row of a sheet."""

    name: str
    """What stands above it."""
    tiles: Mapping[str, NDArray[np.uint8]]
    """Caption to picture, RGB, uint8 [H, W, 3]."""


def tile_sheet(rows: Sequence[TileRow], title: str) -> Image.Image:
    """Draw the rows, all pictures at one height."""
    pictures = [{caption: _fit(tile) for caption, tile in row.tiles.items()} for row in rows]
    row_height = 2 * (_HEADING + 8) + _TILE_HEIGHT + _GAP
    top = _MARGIN + _TITLE + _GAP
    content = max(sum(tile.width + _GAP for tile in tiles.values()) for tiles in pictures) - _GAP
    size = (max(_LEAST_WIDTH, content + 2 * _MARGIN), top + row_height * len(rows) + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=ImageFont.load_default(_TITLE), anchor="lt")
    heading = ImageFont.load_default(_HEADING)
    for index, (row, tiles) in enumerate(zip(rows, pictures, strict=True)):
        y = top + index * row_height
        draw.line((_MARGIN, y - 6, size[0] - _MARGIN, y - 6), fill=_RULE)
        draw.text((_MARGIN, y), row.name, fill=_INK, font=heading, anchor="lt")
        x = _MARGIN
        for caption, tile in tiles.items():
            draw.text((x, y + _HEADING + 8), caption, fill=_INK, font=heading, anchor="lt")
            sheet.paste(tile, (x, y + 2 * (_HEADING + 8)))
            x += tile.width + _GAP
    return sheet


def _fit(picture: NDArray[np.uint8]) -> Image.Image:
    height, width = picture.shape[:2]
    size = (max(1, round(width * _TILE_HEIGHT / height)), _TILE_HEIGHT)
    return Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
