"""Edits of layouts: from the shares that somebody asks for in a region to what an editor is given.

All shares that a caller says or hears are shares of the region's pixels. An editor (section 4.2 of the paper) is given
a palette of the frame with one more entry, the background, which is what it leaves as it is. What that palette means is
its budget:

    region      the region is painted anew: palette = area * requested, background = 1 - area    (4.2, crops)
    additions   the layout is seen whole and painted over: palette = area * max(0, requested - present), background =
                the rest                                                                         (5.4, faces)

Legend: K classes, E = K + 1 (background last), H height, W width. Area is the region's share of the frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from semantic_palette.errors import BundleError, InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette import FEASIBILITY_TOLERANCE, SUM_TOLERANCE, FloatArray, kl_divergence, shares_by_id

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_LEAST_ADDITION = 1e-9
"""Additions below are rounding: a share has to be 0 exactly for the editor to leave the class out."""


class Budget(StrEnum):
    """What the palette of an editor means."""

    REGION = "region"
    """Shares of the region, which is painted anew."""
    ADDITIONS = "additions"
    """What is added of each class to a layout that is seen whole."""

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> "Budget":
        """Reads the attributes of an editor in a manifest; `region` where they say nothing.

        Raises:
            BundleError: the budget is unknown.
        """
        budget = attributes.get("budget", cls.REGION.value)
        if budget not in list(cls):
            raise BundleError(f"manifest.models.editor.attributes.budget: {budget!r} is unknown; {', '.join(cls)} are")
        return cls(budget)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: left <= x < right, top <= y < bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def mask(self, height: int, width: int, field: str = "region.box") -> Mask:
        """The pixels of the box in a frame: bool [H, W].

        Raises:
            InvalidInputError: the box is empty or not within the frame; names the side.
        """
        for axis, start, stop, size in (
            ("left and right", self.left, self.right, width),
            ("top and bottom", self.top, self.bottom, height),
        ):
            if not 0 <= start < stop <= size:
                first, last = axis.split(" and ")
                raise InvalidInputError(f"{field}.{last}", (start, stop), f"0 <= {first} < {last} <= {size} is allowed")
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[self.top : self.bottom, self.left : self.right] = True
        return mask


@dataclass(frozen=True, slots=True)
class ShareEdit:
    """What shall become of a region: either shares that classes shall have, or changes of their shares.

    Attributes:
        target: shares by class name, each in [0, 1]. What they leave is divided among the other classes in proportion
            to their present shares.
        deltas: changes by class name, each in [-1, 1]. The other classes pay, or gain, in proportion.
    """

    target: Mapping[str, float] | None = None
    deltas: Mapping[str, float] | None = None

    def requested(self, space: LabelSpace, present_K: FloatArray, field: str = "edit") -> FloatArray:
        """The palette of the region that this edit asks for.

        Args:
            space: the classes.
            present_K: palette of the region now, float64 [K].
            field: what errors call the edit.

        Returns:
            float64 [K], summing to 1.

        Raises:
            UnknownClassError: a class is not of the label space.
            InvalidInputError: not exactly one of target and deltas is given; a share or a change is out of range; or
                there is no other class in the region to take what is left or pay what is asked.
        """
        if self.target is not None and self.deltas is None:
            shares = shares_by_id(space, self.target, f"{field}.target")
            _check_some(f"{field}.target", shares)
            return _meet_targets(present_K, shares, f"{field}.target")
        if self.deltas is not None and self.target is None:
            shares = _shares_after(space, self.deltas, present_K, f"{field}.deltas")
            _check_some(f"{field}.deltas", shares)
            return _meet_changes(present_K, shares, f"{field}.deltas")
        given = "both" if self.target is not None else "neither"
        raise InvalidInputError(field, given, "either target shares or deltas are allowed")


@dataclass(frozen=True, slots=True, eq=False)
class EditPlan:
    """What an editor is asked for.

    Attributes:
        requested_K: palette of the region asked for, float64 [K].
        area: share of the frame that the region is.
        palette_E: what the editor is given, float32 [E], summing to 1.
    """

    requested_K: FloatArray
    area: float
    palette_E: npt.NDArray[np.float32]


def check_mask(mask_HW: npt.NDArray[np.uint8] | Mask, field: str = "region.mask") -> Mask:
    """Pixels that may change: those that are not 0; bool [H, W].

    Raises:
        InvalidInputError: there is none.
    """
    mask: Mask = np.not_equal(mask_HW, 0)
    if not mask.any():
        raise InvalidInputError(field, "no pixel that may change", "at least one pixel that is not 0 is allowed")
    return mask


def region_palette(labels_HW: Labels, mask_HW: Mask, num_classes: int) -> FloatArray:
    """Class shares among the pixels of a region: float64 [K]; the region has at least one pixel."""
    counts = np.bincount(labels_HW[mask_HW], minlength=num_classes)
    return np.asarray(counts / counts.sum())


def plan_edit(
    space: LabelSpace, labels_HW: Labels, mask_HW: Mask, edit: ShareEdit, budget: Budget, field: str = "edit"
) -> EditPlan:
    """Works out what an editor has to be given; errors as `ShareEdit.requested`."""
    present_K = region_palette(labels_HW, mask_HW, space.num_classes)
    requested_K = edit.requested(space, present_K, field)
    area = float(mask_HW.mean())
    return EditPlan(requested_K, area, editor_palette(budget, requested_K, present_K, area))


def editor_palette(
    budget: Budget, requested_K: FloatArray, present_K: FloatArray, area: float
) -> npt.NDArray[np.float32]:
    """The palette of an editor.

    Args:
        budget: what it means.
        requested_K: palette asked for of the region, float64 [K].
        present_K: palette of the region now, float64 [K].
        area: the region's share of the frame.

    Returns:
        float32 [E], background last, summing to 1.
    """
    if budget is Budget.REGION:
        painted_K = requested_K * area
    else:
        added_K = (requested_K - present_K) * area
        painted_K = np.where(added_K > _LEAST_ADDITION, added_K, 0.0)
    background = max(0.0, 1.0 - float(painted_K.sum()))
    return np.append(painted_K, background).astype(np.float32)


def keep_outside(edited_HW: Labels, labels_HW: Labels, mask_HW: Mask) -> Labels:
    """The edited layout within the region and the old one outside of it: uint8 [H, W], a new array."""
    return np.where(mask_HW, edited_HW, labels_HW)


def frame_palette(labels_HW: Labels, mask_HW: Mask, requested_K: FloatArray) -> FloatArray:
    """What an edit asks of the whole frame, float64 [K]: what surrounds the region as it is, `requested_K` within."""
    outside_K = np.bincount(labels_HW[~mask_HW], minlength=len(requested_K)) / labels_HW.size
    return np.asarray(outside_K + requested_K * mask_HW.mean())


@dataclass(frozen=True, slots=True, eq=False)
class RegionShares:
    """What became of a region: palettes [K] asked for and counted in it, KL in nats, and its share of the frame."""

    requested: FloatArray
    achieved: FloatArray
    kl: float
    area: float

    @classmethod
    def of(cls, plan: EditPlan, edited_HW: Labels, mask_HW: Mask) -> "RegionShares":
        """Counts what an edited layout has in the region."""
        achieved = region_palette(edited_HW, mask_HW, len(plan.requested_K))
        return cls(plan.requested_K, achieved, float(kl_divergence(plan.requested_K, achieved)), plan.area)


def _check_some(field: str, shares: Mapping[int, float]) -> None:
    if not shares:
        raise InvalidInputError(field, {}, "at least one class is")


def _meet_targets(present_K: FloatArray, shares: Mapping[int, float], field: str) -> FloatArray:
    """Named classes have their shares; the others keep their proportions among each other in what is left."""
    requested, others = _split(present_K, shares)
    named = float(requested.sum())
    given = f"shares that sum to {named:.6g}"
    if named > 1.0 + SUM_TOLERANCE:
        raise InvalidInputError(field, given, f"shares sum to at most 1 (within {SUM_TOLERANCE:g})")
    if named >= 1.0 - SUM_TOLERANCE:
        return requested / named
    if not others.any():
        allowed = f"shares sum to 1 within {SUM_TOLERANCE:g}, for no other class is in the region to take the rest"
        raise InvalidInputError(field, given, allowed)
    return np.asarray(requested + others * ((1.0 - named) / others.sum()))


def _meet_changes(present_K: FloatArray, shares: Mapping[int, float], field: str) -> FloatArray:
    """As `_meet_targets`, but a sum that is not 1 is never normalised where other classes can take the rest."""
    requested, others = _split(present_K, shares)
    named = float(requested.sum())
    given = f"changes that give these classes {named:.6g} together"
    if named > 1.0 + FEASIBILITY_TOLERANCE:
        raise InvalidInputError(field, given, "at most 1, the whole region, is allowed")
    if not others.any():
        if abs(named - 1.0) > SUM_TOLERANCE:
            raise InvalidInputError(
                field, given, "no other class is in the region, so changes that sum to 0 are allowed"
            )
        return requested / named
    return np.asarray(requested + others * (max(0.0, 1.0 - named) / others.sum()))


def _split(present_K: FloatArray, shares: Mapping[int, float]) -> tuple[FloatArray, FloatArray]:
    """The shares of the classes that are named, and the present ones of the others: float64 [K] both."""
    named, others = np.zeros_like(present_K), present_K.copy()
    for class_id, share in shares.items():
        named[class_id], others[class_id] = share, 0.0
    return named, others


def _shares_after(
    space: LabelSpace, deltas: Mapping[str, float], present_K: FloatArray, field: str
) -> dict[int, float]:
    """The shares of the named classes after their changes, by class id."""
    shares: dict[int, float] = {}
    for name, delta in deltas.items():
        class_id, where = space.id_of(name, field), f"{field}[{name}]"
        if class_id in shares:
            raise InvalidInputError(where, delta, "a class is named once")
        present = float(present_K[class_id])
        # The comparison is written so that NaN fails it.
        number = isinstance(delta, int | float) and not isinstance(delta, bool)
        if not (number and -FEASIBILITY_TOLERANCE <= present + delta <= 1.0 + FEASIBILITY_TOLERANCE):
            allowed = (
                f"the class has {present:.6g} of the region, so a change from {-present:.6g} to {1 - present:.6g} is"
            )
            raise InvalidInputError(where, delta, f"{allowed} allowed")
        shares[class_id] = min(max(present + delta, 0.0), 1.0)
    return shares
