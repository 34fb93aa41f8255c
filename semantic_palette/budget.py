"""Making a layout meet a palette: softly as the paper does, or to the pixel.

Legend: K classes, A classes with a budget, H height, W width, N = H W pixels.
"""

import numpy as np
import numpy.typing as npt

from semantic_palette._assignment import IntArray, assign
from semantic_palette.constraints import Bounds
from semantic_palette.errors import InfeasibleConstraintsError, InvalidInputError
from semantic_palette.label_space import MAX_CLASSES
from semantic_palette.palette import FEASIBILITY_TOLERANCE, SUM_TOLERANCE, FloatArray, project_to_simplex

_FRACTION_DIGITS = 9
"""Decimals in which fractional parts are compared, so that rounding does not decide between equal shares."""


def integer_budget(palette: FloatArray, num_pixels: int, bounds: Bounds | None = None) -> IntArray:
    """Rounds a palette to numbers of pixels by largest remainder; of equal remainders the smaller class id wins.

    Args:
        palette: Shares, [K].
        num_pixels: N, at least 1.
        bounds: Bounds that the numbers must meet: minima round up, maxima round down, and fixed shares to a neighbour.
            A palette outside them is first projected within them. Default: none.

    Returns:
        int64 [K], sum N.

    Raises:
        InvalidInputError: When the palette is not on the simplex or there are no pixels.
        InfeasibleConstraintsError: When the bounds cannot be met in whole pixels.
    """
    shares = np.asarray(palette, dtype=np.float64)
    if num_pixels < 1:
        raise InvalidInputError("num_pixels", num_pixels, "at least 1 pixel is allowed")
    if shares.ndim != 1 or not (shares >= 0.0).all() or not abs(shares.sum() - 1.0) <= SUM_TOLERANCE:
        raise InvalidInputError("palette", shares, f"shares from 0 that sum to 1 within {SUM_TOLERANCE:g}")
    shares = shares / shares.sum()
    low, high = np.zeros(len(shares)), np.full(len(shares), float(num_pixels))
    if bounds is not None:
        low, high = _pixel_bounds(bounds, num_pixels)
        shares = project_to_simplex(shares, low / num_pixels, high / num_pixels)
    exact = shares * num_pixels
    counts = np.clip(np.floor(exact), low, high)
    fractions = np.round(np.where(counts < high, exact - counts, -1.0), _FRACTION_DIGITS)
    rest = num_pixels - int(counts.sum())
    counts[np.argsort(-fractions, kind="stable")[:rest]] += 1
    return counts.astype(np.int64)


def _pixel_bounds(bounds: Bounds, num_pixels: int) -> tuple[FloatArray, FloatArray]:
    tolerance = FEASIBILITY_TOLERANCE * num_pixels
    lowest, highest = bounds.lower * num_pixels, np.minimum(bounds.upper, 1.0) * num_pixels
    fixed = bounds.fixed_mask
    low = np.where(fixed, np.floor(lowest + tolerance), np.ceil(lowest - tolerance))
    high = np.where(fixed, np.ceil(highest - tolerance), np.floor(highest + tolerance))
    if (low > high).any():
        i = int((low - high).argmax())
        raise InfeasibleConstraintsError(
            "constraints",
            f"a share of class {i} from {bounds.lower[i]:.6g} to {bounds.upper[i]:.6g}",
            f"between a minimum and a maximum there is a whole number of {num_pixels} pixels",
        )
    if low.sum() > num_pixels or high.sum() < num_pixels:
        raise InfeasibleConstraintsError(
            "constraints",
            f"minima of {low.sum():.0f} and maxima of {high.sum():.0f} pixels",
            f"in whole pixels, minima sum to at most and maxima to at least {num_pixels}",
        )
    return low, high


def saa(scores: npt.ArrayLike, palette: npt.ArrayLike, steps: int = 1) -> FloatArray:
    """Semantically-assisted activation (paper section 3.1, equations 1 and 2): a soft map near the palette.

    One step is the paper's: each class spreads its share over the pixels by a softmax of its scores, then each pixel is
    normalised over the classes. Further steps repeat this as Sinkhorn iterations, and the mean of the map goes to the
    palette. Classes with share 0 are exactly 0.

    Args:
        scores: Raw scores, [..., K, H, W].
        palette: Shares, [..., K].
        steps: Number of Sinkhorn steps, at least 1.

    Returns:
        float64 [..., K, H, W]; every pixel sums to 1.

    Raises:
        InvalidInputError: When steps is below 1 or a palette has no positive share.
    """
    shares = np.asarray(palette, dtype=np.float64)
    if steps < 1:
        raise InvalidInputError("steps", steps, "at least 1 step is allowed")
    if not (shares >= 0.0).all() or not (shares.sum(axis=-1) > 0.0).all():
        raise InvalidInputError("palette", shares, "shares from 0 with a positive one are allowed")
    scores = np.asarray(scores, dtype=np.float64)
    f = scores.reshape(*scores.shape[:-2], -1)
    log_share = np.log(shares, out=np.full(shares.shape, -np.inf), where=shares > 0.0)[..., None]
    offset = log_share - np.logaddexp.reduce(f, axis=-1, keepdims=True)
    log_map = _normalise_pixels(f + offset)
    for _ in range(steps - 1):
        mass = np.logaddexp.reduce(log_map, axis=-1, keepdims=True)
        offset = np.where(log_share > -np.inf, offset + log_share - np.where(log_share > -np.inf, mass, 0.0), -np.inf)
        log_map = _normalise_pixels(f + offset)
    return np.asarray(np.exp(log_map).reshape(scores.shape))


def _normalise_pixels(log_map: FloatArray) -> FloatArray:
    return np.asarray(log_map - np.logaddexp.reduce(log_map, axis=-2, keepdims=True))


def exact_labels(scores: npt.NDArray[np.float32], counts: IntArray) -> npt.NDArray[np.uint8]:
    """Labels every pixel so that each class gets exactly its count and the sum of the chosen scores is greatest.

    The sum is greatest up to the rounding of float32 scores; equal scores are told apart by pixel and class, in a fixed
    way. Argmax of the scores is returned where it meets the counts.

    Args:
        scores: Finite scores, float32 [K, H, W], such as SAA's log omega.
        counts: Pixels a class, [K], none negative, sum H W; `integer_budget` makes them.

    Returns:
        uint8 [H, W].

    Raises:
        InvalidInputError: When a shape is not allowed, a score is not finite, or the counts do not sum to H W.
    """
    if scores.ndim != 3 or not 1 <= len(scores) <= MAX_CLASSES or scores[0].size == 0:
        raise InvalidInputError(
            "scores", scores.shape, f"the shape [classes, height, width], 1 to {MAX_CLASSES} classes"
        )
    num_classes, height, width = scores.shape
    if not np.isfinite(scores).all():
        raise InvalidInputError("scores", "a score that is not finite", "finite scores are allowed")
    if counts.shape != (num_classes,) or counts.dtype.kind not in "ui":
        raise InvalidInputError("counts", counts, f"{num_classes} integers are allowed")
    if counts.min() < 0 or counts.sum() != height * width:
        allowed = f"none negative, sum {height * width}, is allowed"
        raise InvalidInputError("counts", f"{counts.tolist()} with sum {counts.sum()}", allowed)
    present = np.flatnonzero(counts)
    labels = assign(scores.reshape(num_classes, -1)[present], counts[present].astype(np.int64))
    return present.astype(np.uint8)[labels].reshape(height, width)
