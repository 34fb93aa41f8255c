"""A contact sheet: for each pair its layout, its image, and the shares requested and achieved, class by class.

Legend: K classes, H height, W width. Lengths are pixels of the sheet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import colourise

_Colour: TypeAlias = tuple[int, int, int]

_PAPER: _Colour = (250, 250, 248)
_INK: _Colour = (34, 36, 40)
_FAINT_INK: _Colour = (120, 124, 130)
_REQUESTED: _Colour = (176, 181, 188)
_RULE: _Colour = (226, 227, 229)
_ANY_CLASS: tuple[_Colour, ...] = ((78, 138, 82), (92, 96, 170), (196, 84, 74))
"""Achieved bars have the colours of their classes; these stand for them in the legend."""

_MARGIN, _GAP = 28, 20
_TITLE, _HEADING, _LINE = 26, 15, 15
_BAR, _CLASS_STEP = 8, 25
_NAME_WIDTH, _BAR_WIDTH, _NUMBER_WIDTH = 130, 230, 110
_MAX_CLASSES = 14
_MIN_TILE_HEIGHT = 200


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One pair of a sheet."""

    name: str
    labels: NDArray[np.uint8]
    """Class ids, uint8 [H, W]."""
    image: NDArray[np.uint8]
    """RGB, uint8 [H, W, 3]."""
    requested: NDArray[np.float64]
    """float64 [K]."""
    achieved: NDArray[np.float64]
    """float64 [K]."""
    kl: float
    """KL(requested || achieved) in nats."""


@dataclass(frozen=True, slots=True)
class _Bar:
    name: str
    colour: _Colour
    requested: float
    achieved: float


def contact_sheet(rows: Sequence[SheetRow], space: LabelSpace, title: str) -> Image.Image:
    """Draws a sheet, one row a pair, all rows at one scale; layouts and images keep their proportions.

    Of more than 14 classes, the smallest of a row are drawn as one bar, "other".
    """
    bars = [_bars(row, space) for row in rows]
    tile_height = max(_MIN_TILE_HEIGHT, *(_CLASS_STEP * len(row_bars) for row_bars in bars))
    tile_width = max(round(tile_height * row.labels.shape[1] / row.labels.shape[0]) for row in rows)
    row_height = _HEADING + 14 + tile_height + _GAP
    top = _MARGIN + _TITLE + _GAP
    width = 2 * _MARGIN + 2 * (tile_width + _GAP) + _NAME_WIDTH + _BAR_WIDTH + _NUMBER_WIDTH
    sheet = Image.new("RGB", (width, top + row_height * len(rows) + _MARGIN - _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=_font(_TITLE), anchor="lt")
    largest = max(max(bar.requested, bar.achieved) for row_bars in bars for bar in row_bars)
    for i, (row, row_bars) in enumerate(zip(rows, bars, strict=True)):
        y = top + i * row_height
        _draw_row(sheet, draw, y, (tile_width, tile_height), row, space)
        corner = _MARGIN + 2 * (tile_width + _GAP), y
        _draw_legend(draw, corner, row.kl)
        _draw_bars(draw, corner, row_bars, largest)
    return sheet


def _bars(row: SheetRow, space: LabelSpace) -> list[_Bar]:
    largest = np.maximum(row.requested, row.achieved)
    kept = set(np.argsort(-largest, kind="stable")[: _MAX_CLASSES - 1].tolist())
    if space.num_classes <= _MAX_CLASSES:
        kept = set(range(space.num_classes))
    bars = [
        _Bar(label_class.name.replace("_", " "), label_class.colour, float(row.requested[i]), float(row.achieved[i]))
        for i, label_class in enumerate(space.classes)
        if i in kept
    ]
    others = [i for i in range(space.num_classes) if i not in kept]
    if others:
        shares = float(row.requested[others].sum()), float(row.achieved[others].sum())
        bars.append(_Bar(f"other ({len(others)})", _FAINT_INK, *shares))
    return bars


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int, tile: tuple[int, int], row: SheetRow, space: LabelSpace
) -> None:
    draw.line((_MARGIN, y - 9, sheet.width - _MARGIN, y - 9), fill=_RULE)
    heading = _font(_HEADING)
    draw.text((_MARGIN, y), f"layout {row.name}", fill=_INK, font=heading, anchor="lt")
    draw.text((_MARGIN + tile[0] + _GAP, y), "image", fill=_INK, font=heading, anchor="lt")
    painted = Image.fromarray(colourise(row.labels, space))
    tile_top = y + _HEADING + 8
    sheet.paste(_fit(painted, tile, Image.Resampling.NEAREST), (_MARGIN, tile_top))
    photo = _fit(Image.fromarray(row.image), tile, Image.Resampling.LANCZOS)
    sheet.paste(photo, (_MARGIN + tile[0] + _GAP, tile_top))


def _fit(image: Image.Image, tile: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    scale = min(tile[0] / image.width, tile[1] / image.height)
    return image.resize((round(image.width * scale), round(image.height * scale)), resampling)


def _draw_legend(draw: ImageDraw.ImageDraw, corner: tuple[int, int], kl: float) -> None:
    x, y = corner
    heading = _font(_HEADING)
    bar_x, number_x = x + _NAME_WIDTH, x + _NAME_WIDTH + _BAR_WIDTH + _NUMBER_WIDTH
    draw.text((bar_x - 10, y), f"KL {kl:.4f}", fill=_INK, font=heading, anchor="rt")
    draw.rectangle((bar_x, y + 1, bar_x + 11, y + 12), fill=_REQUESTED)
    draw.text((bar_x + 17, y), "requested", fill=_INK, font=heading, anchor="lt")
    for stripe, colour in enumerate(_ANY_CLASS):
        left = bar_x + 112 + 4 * stripe
        draw.rectangle((left, y + 1, left + 3, y + 12), fill=colour)
    draw.text((bar_x + 130, y), "achieved", fill=_INK, font=heading, anchor="lt")
    draw.text((number_x, y), "%", fill=_INK, font=heading, anchor="rt")


def _draw_bars(draw: ImageDraw.ImageDraw, corner: tuple[int, int], bars: Sequence[_Bar], largest: float) -> None:
    x, y = corner
    text = _font(_LINE)
    bar_x, number_x = x + _NAME_WIDTH, x + _NAME_WIDTH + _BAR_WIDTH + _NUMBER_WIDTH
    for i, bar in enumerate(bars):
        middle = y + _HEADING + 8 + i * _CLASS_STEP + _CLASS_STEP // 2
        ink = _INK if max(bar.requested, bar.achieved) >= 0.0005 else _FAINT_INK
        draw.text((bar_x - 10, middle), bar.name, fill=ink, font=text, anchor="rm")
        _draw_bar(draw, bar_x, middle - _BAR - 1, bar.requested / largest, _REQUESTED)
        _draw_bar(draw, bar_x, middle, bar.achieved / largest, bar.colour)
        numbers = f"{100 * bar.requested:.1f} / {100 * bar.achieved:.1f}"
        draw.text((number_x, middle), numbers, fill=ink, font=text, anchor="rm")


def _draw_bar(draw: ImageDraw.ImageDraw, x: int, y: int, fraction: float, colour: _Colour) -> None:
    length = round(fraction * _BAR_WIDTH)
    if length:
        # The outline keeps white and other pale classes visible on the paper.
        draw.rectangle((x, y, x + length, y + _BAR - 1), fill=colour, outline=tuple(c * 3 // 4 for c in colour))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
