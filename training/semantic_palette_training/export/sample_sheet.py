"""The sample sheet of a model card: what a bundle makes of the first palettes that it samples, not a selection."""

from pathlib import Path

import numpy as np

from semantic_palette.contact_sheet import SheetRow, contact_sheet
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette import histogram, kl_divergence
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.export.golden import GOLDEN_SEED, noise_rows
from semantic_palette_training.export.modules import Operation

SHEET_ROWS = 5


def write_sample_sheet(
    path: Path, layout: Operation, image: Operation, palette_model: PaletteModel, label_space: LabelSpace, title: str
) -> None:
    """Draw samples 0 to 4 of the golden seed, at natural adherence: layout, image, requested and achieved shares."""
    palettes_NK = palette_model.sample(GOLDEN_SEED, 0, SHEET_ROWS).palettes
    labels_NHW = np.asarray(layout.run(noise_rows(layout, GOLDEN_SEED, SHEET_ROWS), palettes_NK.astype(np.float32)))
    images = image.run(labels_NHW, noise_rows(image, GOLDEN_SEED, SHEET_ROWS))
    achieved_NK = histogram(labels_NHW.astype(np.uint8), label_space.num_classes)
    kl_N = kl_divergence(palettes_NK, achieved_NK)
    rows = [
        SheetRow(
            name=f"seed {GOLDEN_SEED}, sample {index}",
            labels=labels_NHW[index].astype(np.uint8),
            image=images[index].astype(np.uint8),
            requested=palettes_NK[index],
            achieved=achieved_NK[index],
            kl=float(kl_N[index]),
        )
        for index in range(SHEET_ROWS)
    ]
    contact_sheet(rows, label_space, title).save(path)
