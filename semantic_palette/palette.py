"""Palettes: class proportions of a scene, float64 [..., K] on the probability simplex.

Legend: K classes, H height, W width. Leading axes are batch axes; every row is treated alone, so that results do not
depend on what else is in the batch.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from semantic_palette.errors import InfeasibleConstraintsError, InvalidInputError
from semantic_palette.label_space import LabelSpace

FloatArray = npt.NDArray[np.float64]

SUM_TOLERANCE = 1e-3
"""How far the shares a person writes down may be from summing to 1."""
FEASIBILITY_TOLERANCE = 1e-9
"""How far bounds may be from feasible before they are rejected: rounding of sums of decimal fractions."""
KL_EPSILON = 1e-6
"""Added to achieved shares before the logarithm, as in the paper's tables."""


def histogram(labels: npt.NDArray[np.uint8], num_classes: int) -> FloatArray:
    """Counts class shares.

    Args:
        labels: Class ids, uint8 [..., H, W].
        num_classes: K.

    Returns:
        Palettes, float64 [..., K]; every row sums to 1.

    Raises:
        InvalidInputError: When an id is not below num_classes or a layout has no pixels.
    """
    *batch, height, width = labels.shape
    if height * width == 0:
        raise InvalidInputError("labels", labels.shape, "a layout has at least one pixel")
    if labels.size and int(labels.max()) >= num_classes:
        raise InvalidInputError("labels", int(labels.max()), f"class ids from 0 to {num_classes - 1} are allowed")
    flat = labels.reshape(-1, height * width)
    counts = np.empty((len(flat), num_classes), dtype=np.int64)
    for row, pixels in zip(counts, flat, strict=True):
        row[:] = np.bincount(pixels, minlength=num_classes)
    return np.asarray(counts / (height * width)).reshape(*batch, num_classes)


def project_to_simplex(
    x: npt.ArrayLike, lower: npt.ArrayLike | None = None, upper: npt.ArrayLike | None = None
) -> FloatArray:
    """Projects on {p : sum p = 1, lower <= p <= upper}: the nearest point in the Euclidean norm, exactly.

    The answer is clip(x - theta, lower, upper) with the theta at which it sums to 1. The sum falls in straight pieces
    between the sorted points where a coordinate meets a bound: the piece is found by binary search and solved. (The
    paper's appendix F calls the exact projection slow and clips instead; it is not slow.)

    Args:
        x: Any finite numbers, [..., K].
        lower: Lower bounds, each at least 0, broadcast against x. Default 0.
        upper: Upper bounds, broadcast against x. Default 1.

    Returns:
        Palettes, float64 [..., K].

    Raises:
        InvalidInputError: When x or a bound is not finite, or a lower bound is negative.
        InfeasibleConstraintsError: When no palette is within the bounds.
    """
    values = np.ascontiguousarray(x, dtype=np.float64)
    low = np.broadcast_to(np.asarray(0.0 if lower is None else lower, dtype=np.float64), values.shape)
    high = np.broadcast_to(np.asarray(1.0 if upper is None else upper, dtype=np.float64), values.shape)
    if not np.isfinite(values).all():
        raise InvalidInputError("x", values, "finite numbers are allowed")
    check_feasible(low, high)
    # Adding a constant to x changes nothing, but keeps theta small; a bound above 1 never binds.
    values = values - values.max(axis=-1, keepdims=True)
    high = np.minimum(high, 1.0)
    return _solve_projection(values, low, high)


def check_feasible(low: FloatArray, high: FloatArray) -> None:
    """Checks that some palette is within bounds [..., K]; errors as `project_to_simplex`."""
    if np.isnan(high).any() or not (low >= 0.0).all():
        raise InvalidInputError("bounds", (low.min(initial=0.0), high.min(initial=0.0)), "shares from 0 to 1")
    if (low > high).any():
        raise InfeasibleConstraintsError("bounds", float((low - high).max()), "no lower bound is above its upper bound")
    lowest, highest = low.sum(axis=-1), np.minimum(high, 1.0).sum(axis=-1)
    if (lowest > 1.0 + FEASIBILITY_TOLERANCE).any() or (highest < 1.0 - FEASIBILITY_TOLERANCE).any():
        raise InfeasibleConstraintsError(
            "bounds",
            f"lower bounds that sum to {lowest.max():.6g} and upper bounds that sum to {highest.min():.6g}",
            "lower bounds sum to at most 1 and upper bounds to at least 1",
        )


def _solve_projection(values: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    enters, leaves = values - high, values - low
    knots = np.sort(np.concatenate([enters, leaves], axis=-1), axis=-1)
    first = np.zeros((*values.shape[:-1], 1), dtype=np.intp)
    last = np.full_like(first, knots.shape[-1] - 1)
    # Invariant: the sum is >= 1 at knot `first` and <= 1 at knot `last`.
    for _ in range(int(knots.shape[-1]).bit_length()):
        middle = (first + last) // 2
        total = np.clip(values - np.take_along_axis(knots, middle, axis=-1), low, high).sum(axis=-1, keepdims=True)
        first, last = np.where(total >= 1.0, middle, first), np.where(total >= 1.0, last, middle)
    left, right = np.take_along_axis(knots, first, axis=-1), np.take_along_axis(knots, last, axis=-1)
    inside = 0.5 * (left + right)
    free = (enters <= inside) & (inside <= leaves)
    num_free = np.maximum(free.sum(axis=-1, keepdims=True), 1)
    result: FloatArray = np.clip(values - left, low, high)
    # Two corrections: the first solves the piece, the second removes its rounding.
    for _ in range(2):
        missing = (1.0 - result.sum(axis=-1, keepdims=True)) / num_free
        result = np.clip(np.where(free, result + missing, result), low, high)
    return result


def clip_and_normalise(x: npt.ArrayLike) -> FloatArray:
    """Clips to [0, 1] and divides by the sum: what the paper does to samples of its palette model (appendix F).

    Args:
        x: Any finite numbers, [..., K], with a positive one in each row.

    Raises:
        InvalidInputError: When x is not finite or a row has no positive number.
    """
    values = np.asarray(x, dtype=np.float64)
    clipped = np.clip(values, 0.0, 1.0)
    total = clipped.sum(axis=-1, keepdims=True)
    if not np.isfinite(values).all() or not (total > 0.0).all():
        raise InvalidInputError("x", values, "finite numbers with a positive one in each row are allowed")
    return np.asarray(clipped / total)


def kl_divergence(target: npt.ArrayLike, achieved: npt.ArrayLike) -> FloatArray:
    """KL(target || achieved) in nats, as in the paper's tables.

    That is sum t log(t / q) with q = (achieved + 1e-6) normalised, and 0 log 0 = 0.

    Args:
        target: Palettes, [..., K].
        achieved: Palettes, [..., K].

    Returns:
        float64 [...]; near 0, but not exactly, when both are equal.
    """
    t, q = np.asarray(target, dtype=np.float64), np.asarray(achieved, dtype=np.float64) + KL_EPSILON
    return _relative_entropy(t, q / q.sum(axis=-1, keepdims=True))


def jensen_shannon(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Jensen-Shannon divergence of palettes [..., K] in nats, from 0 to log 2."""
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    middle = 0.5 * (p + q)
    return np.asarray(0.5 * (_relative_entropy(p, middle) + _relative_entropy(q, middle)))


def total_variation(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Total variation distance of palettes [..., K]: the share of pixels that would have to change class."""
    return np.asarray(0.5 * np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).sum(axis=-1))


def _relative_entropy(p: FloatArray, q: FloatArray) -> FloatArray:
    present = p > 0.0
    ratio = np.divide(p, q, out=np.ones(np.broadcast_shapes(p.shape, q.shape)), where=present)
    return np.asarray((p * np.log(ratio)).sum(axis=-1))


def interpolate(a: npt.ArrayLike, b: npt.ArrayLike, steps: int) -> FloatArray:
    """Walks in a straight line from palette a [K] to palette b [K]: float64 [steps, K], both ends included.

    Raises:
        InvalidInputError: When steps is below 2.
    """
    if steps < 2:
        raise InvalidInputError("steps", steps, "at least 2 steps are allowed")
    weight = np.linspace(0.0, 1.0, steps)[:, None]
    return np.asarray((1.0 - weight) * np.asarray(a, np.float64) + weight * np.asarray(b, np.float64))


def palette_from_shares(space: LabelSpace, shares: Mapping[str, float], field: str = "palette") -> FloatArray:
    """Reads shares by class name; missing classes are 0.

    Returns:
        float64 [K], normalised to sum to 1.

    Raises:
        UnknownClassError: When a name is not a class of the space.
        InvalidInputError: When a share is not a number in [0, 1], a class is named twice, or the sum is further than
            1e-3 from 1.
    """
    values = shares_by_id(space, shares, field)
    palette = np.zeros(space.num_classes)
    palette[list(values)] = list(values.values())
    total = float(palette.sum())
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise InvalidInputError(field, f"shares that sum to {total:.6g}", f"shares sum to 1 within {SUM_TOLERANCE:g}")
    return np.asarray(palette / total)


def shares_by_id(space: LabelSpace, shares: Mapping[str, float], field: str) -> dict[int, float]:
    """Reads a mapping from class name to share as a mapping from class id to share; errors as `palette_from_shares`."""
    values: dict[int, float] = {}
    for name, share in shares.items():
        class_id = space.id_of(name, field)
        if class_id in values:
            raise InvalidInputError(f"{field}[{name}]", share, "a class is named once")
        # The comparison is written so that NaN fails it.
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            raise InvalidInputError(f"{field}[{name}]", share, "a share from 0 to 1 is allowed")
        values[class_id] = float(share)
    return values


def shares_from_palette(space: LabelSpace, palette: npt.ArrayLike) -> dict[str, float]:
    """Writes a palette [K] as shares by class name: every class, in order of id."""
    return dict(zip(space.names, np.asarray(palette, dtype=np.float64).tolist(), strict=True))
