"""Whether the elements of inputs mean something to a model: what the other services check of their messages.

Legend: N samples, K classes, E = K + 1 (background last), H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import check_mask
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import check_labels
from semantic_palette.palette import SUM_TOLERANCE

Array = NDArray[Any]

# A palette within rounding of 1 is taken as it is, so that a palette gives the same bytes through every service.
_NORMALISED_WITHIN = 1e-6


def check_contents(arrays: Mapping[str, Array], space: LabelSpace) -> dict[str, Array]:
    """Check the inputs of N samples by what they are called.

    Args:
        arrays: any of ``labels`` and ``mask``, ``[N, H, W]``, ``palette``, ``[N, K]`` or ``[N, E]``, ``z``, ``styles``
            and ``image``.
        space: the classes.

    Returns:
        The arrays; palettes sum to 1.

    Raises:
        InvalidInputError: an id is not of the label space, a mask is not of 0 and 1 or all 0, a share is not in [0, 1]
            or a palette does not sum to 1 within 1e-3, or a number is not finite. Names the input and the sample.
    """
    return {name: _check(name, array, space.num_classes) for name, array in arrays.items()}


def _check(name: str, array: Array, num_classes: int) -> Array:
    field = f"inputs[{name}]"
    match name:
        case "labels":
            for sample, labels_HW in enumerate(array):
                check_labels(labels_HW, num_classes, field=f"{field}[{sample}]")
        case "mask":
            for sample, mask_HW in enumerate(array):
                _check_mask(mask_HW, f"{field}[{sample}]")
        case "palette":
            return _check_palettes(array, field)
        case "z" | "styles":
            _check_finite(array, field)
    return array


def _check_mask(mask_HW: Array, field: str) -> None:
    if mask_HW.max() > 1:
        raise InvalidInputError(field, int(mask_HW.max()), "0 (stays) and 1 (may change) are")
    check_mask(mask_HW, field)


def _check_palettes(palette_NE: Array, field: str) -> Array:
    # The comparison is written so that NaN fails it.
    wrong = ~((palette_NE >= 0) & (palette_NE <= 1))
    if wrong.any():
        sample, entry = np.argwhere(wrong)[0]
        value = float(palette_NE[sample, entry])
        raise InvalidInputError(f"{field}[{sample}][{entry}]", value, "a share from 0 to 1 is")
    sums = palette_NE.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1.0)
    if off.max() > SUM_TOLERANCE:
        sample = int(off.argmax())
        given = f"shares that sum to {sums[sample]:.6g}"
        raise InvalidInputError(f"{field}[{sample}]", given, f"shares sum to 1 within {SUM_TOLERANCE:g}")
    normalised = (palette_NE / sums[:, None]).astype(palette_NE.dtype)
    return np.where(off[:, None] > _NORMALISED_WITHIN, normalised, palette_NE)


def _check_finite(array: Array, field: str) -> None:
    wrong = ~np.isfinite(array)
    if wrong.any():
        position = np.argwhere(wrong)[0].tolist()
        element = "".join(f"[{index}]" for index in position)
        raise InvalidInputError(f"{field}{element}", float(array[tuple(position)]), "finite numbers are")
