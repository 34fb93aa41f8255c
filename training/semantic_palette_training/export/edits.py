"""Natural edits: real layouts, a box in each, and for a target what another real scene has in the same box.

Shape suffixes: B batch, N scenes, K classes, E = K + 1 (background last), H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import Budget, editor_palette, region_palette
from semantic_palette.noise import uniforms

LEAST_SIDE = 0.25
"""Sides of boxes are from this share of the layout's to the whole."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class NaturalEdits:
    """Inputs of an editor, but for the noise, and what they ask for."""

    labels_BHW: Labels
    """Layouts to edit."""
    mask_BHW: Labels
    """1 where they may change."""
    palette_BE: NDArray[np.float32]
    """What the editor is given."""
    requested_BK: NDArray[np.float64]
    """The palettes that the regions shall have."""


def natural_edits(
    labels_NHW: Labels, rows: Mapping[int, int], num_classes: int, budget: Budget, seed: int
) -> NaturalEdits:
    """Edits of some layouts.

    Args:
        labels_NHW: real layouts.
        rows: sample to the layout that is edited. Box and target are the sample's, whatever else is in the batch.
        num_classes: K.
        budget: of the editor; with additions, half of the edits are of the whole frame, as those of faces.
        seed: of boxes and targets.
    """
    masks = np.zeros((len(rows), *labels_NHW.shape[1:]), np.bool_)
    requested, palettes = [], []
    for mask_HW, (sample, row) in zip(masks, rows.items(), strict=True):
        draws = uniforms(seed, sample, "box", 6)
        whole = budget is Budget.ADDITIONS and draws[5] < 0.5
        mask_HW[... if whole else _box(draws, mask_HW.shape)] = True
        other = (row + 1 + int(draws[4] * (len(labels_NHW) - 1))) % len(labels_NHW)
        requested_K, present_K = (region_palette(labels_NHW[i], mask_HW, num_classes) for i in (other, row))
        requested.append(requested_K)
        palettes.append(editor_palette(budget, requested_K, present_K, float(mask_HW.mean())))
    labels = np.ascontiguousarray(labels_NHW[list(rows.values())])
    return NaturalEdits(labels, masks.astype(np.uint8), np.stack(palettes), np.stack(requested))


def _box(draws: NDArray[np.float64], size: tuple[int, ...]) -> tuple[slice, slice]:
    """A box of a random size at a random place, from four uniform numbers."""
    sides = [
        max(1, round((LEAST_SIDE + (1.0 - LEAST_SIDE) * draw) * side))
        for draw, side in zip(draws[:2], size, strict=True)
    ]
    starts = [int(draw * (whole - side + 1)) for draw, side, whole in zip(draws[2:4], sides, size, strict=True)]
    rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return rows, columns
