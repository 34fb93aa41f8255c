"""Constraints on palettes, by class name, and the bounds they become."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from semantic_palette.errors import InfeasibleConstraintsError
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette import FEASIBILITY_TOLERANCE, shares_by_id


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Bounds on the shares of K classes, by class id. Fixed classes have equal bounds."""

    lower: npt.NDArray[np.float64]
    """float64 [K]."""
    upper: npt.NDArray[np.float64]
    """float64 [K]."""
    fixed_mask: npt.NDArray[np.bool_]
    """bool [K]."""

    def contain(self, palettes: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.bool_]:
        """Says which palettes [..., K] are within the bounds up to a tolerance: bool [...]."""
        inside = (palettes >= self.lower - tolerance) & (palettes <= self.upper + tolerance)
        return np.asarray(inside.all(axis=-1))


@dataclass(frozen=True, slots=True)
class Constraints:
    """Bounds on the shares of classes, each from 0 to 1. Names are matched as `LabelSpace.id_of` does."""

    fixed: Mapping[str, float] = field(default_factory=dict)
    """Shares met exactly; 0 bans a class."""
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is constrained."""
        return not (self.fixed or self.minimum or self.maximum)

    def bounds(self, space: LabelSpace) -> Bounds:
        """Checks the constraints against a label space and returns them by class id.

        Raises:
            UnknownClassError: When a name is not a class of the space.
            InvalidInputError: When a share is not a number in [0, 1] or a class is named twice.
            InfeasibleConstraintsError: When no palette meets them all, or a class is both fixed and bounded.
        """
        fixed = shares_by_id(space, self.fixed, "constraints.fixed")
        minimum = shares_by_id(space, self.minimum, "constraints.minimum")
        maximum = shares_by_id(space, self.maximum, "constraints.maximum")
        for class_id in sorted(fixed.keys() & (minimum.keys() | maximum.keys())):
            raise InfeasibleConstraintsError(
                f"constraints.fixed[{space.names[class_id]}]", fixed[class_id], "a class is either fixed or bounded"
            )
        for class_id in sorted(minimum.keys() & maximum.keys()):
            if minimum[class_id] > maximum[class_id]:
                raise InfeasibleConstraintsError(
                    f"constraints.minimum[{space.names[class_id]}]",
                    minimum[class_id],
                    f"a minimum is at most the maximum of its class, {maximum[class_id]:g}",
                )
        lower, upper = np.zeros(space.num_classes), np.ones(space.num_classes)
        fixed_mask = np.zeros(space.num_classes, dtype=np.bool_)
        for class_id, share in (minimum | fixed).items():
            lower[class_id] = share
        for class_id, share in (maximum | fixed).items():
            upper[class_id] = share
        fixed_mask[list(fixed)] = True
        _check_sums(lower, upper, fixed_mask)
        return Bounds(lower, upper, fixed_mask)


def _check_sums(
    lower: npt.NDArray[np.float64], upper: npt.NDArray[np.float64], fixed_mask: npt.NDArray[np.bool_]
) -> None:
    fixed = float(lower[fixed_mask].sum())
    if lower.sum() > 1.0 + FEASIBILITY_TOLERANCE:
        raise InfeasibleConstraintsError(
            "constraints",
            f"fixed shares that sum to {fixed:.6g} and minima that sum to {lower[~fixed_mask].sum():.6g}",
            f"together they sum to at most 1, not {lower.sum():.6g}",
        )
    if upper.sum() < 1.0 - FEASIBILITY_TOLERANCE:
        raise InfeasibleConstraintsError(
            "constraints",
            f"fixed shares that sum to {fixed:.6g} and maxima that sum to {upper[~fixed_mask].sum():.6g}",
            f"with 1 for every class that has no maximum they sum to at least 1, not {upper.sum():.6g}",
        )
