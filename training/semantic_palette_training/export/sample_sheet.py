"""The sample sheet of a model card: what a bundle makes of the first samples of a seed, not a selection.

Shape suffixes: B batch, H and W pixels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.contact_sheet import SheetRow, contact_sheet
from semantic_palette.editing import region_palette
from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import colourise
from semantic_palette.palette import histogram, kl_divergence
from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.operations import Operation
from semantic_palette_training.export.tile_sheet import TileRow, tile_sheet

SHEET_ROWS = 5

Labels = NDArray[np.uint8]


def write_sample_sheet(
    path: Path, operations: Mapping[str, Operation], source: InputSource, space: LabelSpace, name: str
) -> None:
    """Draw a part for each thing that the bundle does, one below the other.

    Layouts with their images, and requested and achieved shares; edits as input, region and result; and, where nothing
    else shows the images, images of real layouts.
    """
    parts = []
    if "layout" in operations:
        parts.append(_layout_part(operations, source, space, f"{name}: the first samples, natural adherence"))
    if "editor" in operations:
        parts.append(_edit_part(operations, source, space, f"{name}: the first edits of held-out layouts"))
    if not parts:
        parts.append(_image_part(operations, source, space, f"{name}: the first images of held-out layouts"))
    sheet = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), (250, 250, 248))
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    sheet.save(path)


def _layout_part(
    operations: Mapping[str, Operation], source: InputSource, space: LabelSpace, title: str
) -> Image.Image:
    samples = range(SHEET_ROWS)
    inputs = source.inputs("layout", samples)
    labels_BHW = operations["layout"].run(inputs)
    images = _images(operations, source, labels_BHW, samples)
    requested = inputs["palette"].astype(np.float64)
    achieved = histogram(labels_BHW, space.num_classes)
    kl_B = kl_divergence(requested, achieved)
    if images is None:
        rows = [
            TileRow(f"sample {index}, KL {kl_B[index]:.4f}", {"layout": colourise(labels, space)})
            for index, labels in enumerate(labels_BHW)
        ]
        return tile_sheet(rows, title)
    sheet_rows = [
        SheetRow(
            f"sample {index}", labels_BHW[index], images[index], requested[index], achieved[index], float(kl_B[index])
        )
        for index in samples
    ]
    return contact_sheet(sheet_rows, space, title)


def _edit_part(operations: Mapping[str, Operation], source: InputSource, space: LabelSpace, title: str) -> Image.Image:
    samples = range(SHEET_ROWS)
    inputs = source.inputs("editor", samples)
    before_BHW, edited_BHW = inputs["labels"], operations["editor"].run(inputs)
    pictures = [_images(operations, source, labels, samples) for labels in (before_BHW, edited_BHW)]
    rows = []
    for index in samples:
        inside_HW = inputs["mask"][index] > 0
        tiles = {
            "layout": colourise(before_BHW[index], space),
            "region": _shaded(colourise(before_BHW[index], space), ~inside_HW),
            "edited": colourise(edited_BHW[index], space),
        }
        for caption, images in zip(("image", "image, edited"), pictures, strict=True):
            if images is not None:
                tiles[caption] = images[index]
        rows.append(TileRow(_describe(before_BHW[index], edited_BHW[index], inside_HW, space), tiles))
    return tile_sheet(rows, title)


def _image_part(operations: Mapping[str, Operation], source: InputSource, space: LabelSpace, title: str) -> Image.Image:
    inputs = source.inputs("image", range(SHEET_ROWS))
    images = operations["image"].run(inputs)
    rows = [
        TileRow(f"sample {index}", {"layout": colourise(labels, space), "image": images[index]})
        for index, labels in enumerate(inputs["labels"])
    ]
    return tile_sheet(rows, title)


def _images(
    operations: Mapping[str, Operation], source: InputSource, labels_BHW: Labels, samples: range
) -> NDArray[Any] | None:
    """Images of layouts; with the styles of the scenes of these samples, where the images are styled."""
    if "image" not in operations:
        return None
    return operations["image"].run(source.inputs("image", samples) | {"labels": labels_BHW})


def _shaded(picture_HW3: NDArray[np.uint8], outside_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture with what an edit leaves alone faded, so that the region stands out."""
    faded = picture_HW3 // 4 + 180
    return np.where(outside_HW[:, :, None], faded, picture_HW3).astype(np.uint8)


def _describe(before_HW: Labels, after_HW: Labels, inside_HW: NDArray[np.bool_], space: LabelSpace) -> str:
    """Which classes an edit changed most."""
    before, after = (region_palette(labels, inside_HW, space.num_classes) for labels in (before_HW, after_HW))
    changes = after - before
    most = np.argsort(-np.abs(changes), kind="stable")[:3]
    words = [f"{space.names[i].replace('_', ' ')} {100 * changes[i]:+.0f} %" for i in most if abs(changes[i]) >= 0.005]
    return f"region {inside_HW.mean():.0%} of the frame: {', '.join(words) or 'no change of shares'}"
