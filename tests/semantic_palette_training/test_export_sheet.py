"""Sample sheets of bundles that do only a part."""

import numpy as np
import pytest
from export_runs import DATA, NUM_CLASSES, editor, image_generator, layout_generator
from PIL import Image

from semantic_palette.label_space import STREETS
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.registry import load_scenes
from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.operations import editor_operation, image_operations, layout_operations
from semantic_palette_training.export.sample_sheet import write_sample_sheet

PARTS = {
    "layouts": lambda: layout_operations(layout_generator()),
    "edits": lambda: (editor_operation(editor()),),
    "images": lambda: image_operations(image_generator("gaugan")),
    "everything": lambda: (
        *layout_operations(layout_generator()),
        editor_operation(editor()),
        *image_operations(image_generator("sean")),
    ),
}


def sheet_of(part, path):
    operations = {operation.name: operation for operation in PARTS[part]()}
    mean = np.full((1, NUM_CLASSES), 1 / NUM_CLASSES)
    palettes = PaletteModel(np.ones(1), mean, 1e-4 * np.eye(NUM_CLASSES)[None])
    source = InputSource(operations, palettes, load_scenes(DATA, "val"), 0)
    write_sample_sheet(path / f"{part}.png", operations, source, STREETS, "tiny")
    with Image.open(path / f"{part}.png") as sheet:
        return np.asarray(sheet.convert("RGB"))


@pytest.mark.parametrize("part", ["layouts", "edits", "images"])
def test_a_sheet_shows_what_the_bundle_does(part, tmp_path):
    """Every class of the generated or real layouts is somewhere in its colour."""
    sheet = sheet_of(part, tmp_path)
    colours = {tuple(colour) for colour in np.unique(sheet.reshape(-1, 3), axis=0)}
    assert len(colours & {label_class.colour for label_class in STREETS.classes}) >= 4


def test_parts_stand_below_each_other(tmp_path):
    together, edits = sheet_of("everything", tmp_path), sheet_of("edits", tmp_path)
    assert together.shape[0] > 2 * edits.shape[0] - 100
    assert together.shape[1] >= edits.shape[1]
