"""How well edits give a region the palette that was asked of it.

Legend: B batch, K classes, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import region_palette
from semantic_palette.errors import InvalidInputError
from semantic_palette.palette import kl_divergence

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EditResults:
    """A batch of edits and what became of them."""

    before_BHW: Labels
    """The layouts, class ids."""
    mask_BHW: Labels
    """The regions: 1 where the layout may change, at least one pixel each."""
    requested_BK: NDArray[np.float64]
    """The palettes asked of the regions."""
    after_BHW: Labels
    """The edited layouts."""


@dataclass(frozen=True, slots=True)
class EditQuality:
    """How closely edits meet the palettes asked of their regions."""

    count: int
    """Number of edits."""
    kl_mean: float
    """Mean KL divergence (nats) of the achieved from the requested palette of the region."""
    kl_median: float
    kl_worst: float
    kl_unedited: float
    """The mean that leaving every region as it was would have: what edits have to improve on."""
    changed: float
    """Mean share of a region's pixels that the edit gave another class."""


def measure_edits(batches: Iterable[EditResults]) -> EditQuality:
    """Compare what regions hold after editing with what was asked of them.

    Raises:
        InvalidInputError: there is no edit.
    """
    achieved, unedited, changed = [], [], []
    for batch in batches:
        rows = zip(batch.before_BHW, batch.mask_BHW > 0, batch.requested_BK, batch.after_BHW, strict=True)
        for before_HW, inside_HW, requested_K, after_HW in rows:
            palettes = [region_palette(labels, inside_HW, len(requested_K)) for labels in (after_HW, before_HW)]
            kl_after, kl_before = (float(kl_divergence(requested_K, palette)) for palette in palettes)
            achieved.append(kl_after)
            unedited.append(kl_before)
            changed.append(float(np.mean(after_HW[inside_HW] != before_HW[inside_HW])))
    if not achieved:
        raise InvalidInputError("batches", 0, "at least one edit is needed")
    return EditQuality(
        count=len(achieved),
        kl_mean=float(np.mean(achieved)),
        kl_median=float(np.median(achieved)),
        kl_worst=float(np.max(achieved)),
        kl_unedited=float(np.mean(unedited)),
        changed=float(np.mean(changed)),
    )
