"""The Fréchet distance between Gaussians, and the Fréchet segmentation distance (FSD) built on it.

Legend: N, M samples, K classes, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError

Floats = NDArray[np.float64]


def frechet_segmentation_distance(reference_NK: Floats, palettes_MK: Floats) -> float:
    """FSD between two sets of class shares (paper, section 5); 0 for equal first and second moments.

    The shares are taken in percent, as the magnitudes in the paper's tables ask for, so the value is 10^4 times that
    on shares from 0 to 1. Means and sample covariances (ddof 1) are compared; neither the arrangement of a layout nor
    its agreement with the palette it was asked for counts, so always report it beside the KL divergence.

    Args:
        reference_NK: Shares of the real training layouts; each row sums to 1.
        palettes_MK: Shares of the layouts that are judged.

    Raises:
        InvalidInputError: Fewer than two samples on a side, different numbers of classes, or values not finite.
    """
    for field, value in (("reference", reference_NK), ("palettes", palettes_MK)):
        if value.ndim != 2 or len(value) < 2 or not np.isfinite(value).all():
            raise InvalidInputError(field, value.shape, "it must be finite shares [N, K] of at least two layouts")
    if reference_NK.shape[1] != palettes_MK.shape[1]:
        raise InvalidInputError("palettes", palettes_MK.shape, f"it must have {reference_NK.shape[1]} classes")
    reference, palettes = (100.0 * np.asarray(value, np.float64) for value in (reference_NK, palettes_MK))
    return frechet_distance(
        reference.mean(axis=0), np.cov(reference, rowvar=False), palettes.mean(axis=0), np.cov(palettes, rowvar=False)
    )


def frechet_distance(mean_a: Floats, covariance_a: Floats, mean_b: Floats, covariance_b: Floats) -> float:
    """|mean_a - mean_b|² + Tr(A + B - 2 (A B)^(1/2)) for Gaussians with means [D] and covariances A, B [D, D].

    The trace of the root is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric: its eigenvalues are real, and those
    that rounding makes negative are 0. That holds for singular covariances, which class shares always have.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root_a = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    product = np.linalg.eigvalsh(root_a @ covariance_b @ root_a)
    apart = mean_a - mean_b
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * np.sqrt(product.clip(min=0.0)).sum()
    return float(apart @ apart + max(spread, 0.0))
