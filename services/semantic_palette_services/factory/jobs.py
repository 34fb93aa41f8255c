"""What a stream of pairs is asked for. K classes, H height, W width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette.constraints import Constraints
from semantic_palette.editing import Mask, ShareEdit
from semantic_palette.pair import Adherence, EditOrigin
from semantic_palette.priority import Priority
from semantic_palette_services.encoding import ImageEncoding, LabelEncoding


@dataclass(frozen=True, slots=True, eq=False)
class GivenPalettes:
    """Pair i uses palette i modulo their number; float64 ``[N, K]``."""

    palettes: Sequence[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class SampledPalettes:
    """Palettes drawn from the bundle's palette model."""

    constraints: Constraints = field(default_factory=Constraints)


@dataclass(frozen=True, slots=True, eq=False)
class GivenLayouts:
    """Pair i uses layout i modulo their number; uint8 ``[H, W]`` each."""

    layouts: Sequence[NDArray[np.uint8]]


PairSource: TypeAlias = GivenPalettes | SampledPalettes | GivenLayouts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairJob:
    """A stream of pairs."""

    source: PairSource
    count: int
    seed: int = 0
    first_index: int = 0
    adherence: Adherence = Adherence.NATURAL
    deterministic: bool = False
    label_encoding: LabelEncoding = LabelEncoding.PNG
    image_encoding: ImageEncoding = field(default_factory=ImageEncoding)
    priority: Priority = Priority.BULK

    @property
    def constraints(self) -> Constraints:
        """The constraints that palettes were sampled under, which EXACT layouts round within; none otherwise."""
        return self.source.constraints if isinstance(self.source, SampledPalettes) else Constraints()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditSource:
    """A pair to edit, and how."""

    labels: NDArray[np.uint8]
    """Class ids, uint8 ``[H, W]``."""
    image: NDArray[np.uint8]
    """uint8 ``[H, W, 3]``."""
    mask: Mask
    """Pixels that may change, bool ``[H, W]``."""
    edit: ShareEdit
    origin: EditOrigin
    """What pairs that are made from it say of it; with seed and index of the appearance of what is painted anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditJob:
    """A stream of edited pairs: edit i is of source i modulo their number."""

    sources: Sequence[EditSource]
    count: int
    seed: int = 0
    first_index: int = 0
    deterministic: bool = False
    label_encoding: LabelEncoding = LabelEncoding.PNG
    image_encoding: ImageEncoding = field(default_factory=ImageEncoding)
    priority: Priority = Priority.BULK
