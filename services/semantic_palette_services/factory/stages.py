"""The stages that pairs pass through, in this process or in another, through one interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semantic_palette.constraints import Constraints
from semantic_palette.editing import Mask, RegionShares, ShareEdit
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import Adherence, EngineIdentity
from semantic_palette.priority import Priority
from semantic_palette_services.bundle_selection import BundleSelection
from semantic_palette_services.encoding import EncodedImage, ImageEncoding
from semantic_palette_services.image.style_cache import StyleReference
from semantic_palette_services.palette.operation import DrawnPalette


@dataclass(frozen=True, slots=True)
class PinnedBundle:
    """The bundle that a stream is pinned to; every stage that works for the stream must serve this digest."""

    name: str
    version: str
    digest: str
    label_space: LabelSpace
    height: int
    width: int
    operations: frozenset[str] | None = None
    """Models of the bundle; None where the palette stage does not say."""
    styled: bool | None = None
    """Whether images have the look of a reference; None where the palette stage does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class LayoutTask:
    """A layout to generate for a pair."""

    palette: NDArray[np.float64]
    """float64 ``[K]``, summing to 1."""
    seed: int
    index: int
    adherence: Adherence
    deterministic: bool
    constraints: Constraints
    """Used by EXACT alone: integer budgets round minima up and maxima down."""
    priority: Priority = Priority.BULK


@dataclass(frozen=True, slots=True, eq=False)
class StagedLayout:
    """A generated layout: class ids uint8 ``[H, W]``, the palette counted in it, KL in nats."""

    labels: NDArray[np.uint8]
    achieved: NDArray[np.float64]
    kl: float
    engine: EngineIdentity


@dataclass(frozen=True, slots=True, eq=False)
class EditTask:
    """A layout uint8 ``[H, W]`` to edit for a pair, where the mask bool ``[H, W]`` allows it."""

    labels: NDArray[np.uint8]
    mask: Mask
    edit: ShareEdit
    seed: int
    index: int
    deterministic: bool
    priority: Priority = Priority.BULK


@dataclass(frozen=True, slots=True, eq=False)
class StagedEdit:
    """An edited layout: class ids uint8 ``[H, W]``, and what became of the region."""

    labels: NDArray[np.uint8]
    region: RegionShares
    engine: EngineIdentity


@dataclass(frozen=True, slots=True, eq=False)
class ImageTask:
    """A layout uint8 ``[H, W]`` to translate for a pair."""

    labels: NDArray[np.uint8]
    seed: int
    index: int
    encoding: ImageEncoding
    deterministic: bool
    reference: StyleReference | None = None
    """Whose look to have; only styled bundles take notice."""
    priority: Priority = Priority.BULK


@dataclass(frozen=True, slots=True)
class StagedImage:
    """A translated and encoded image."""

    image: EncodedImage
    engine: EngineIdentity


class PaletteStage(Protocol):
    """Knows the bundle and draws palettes."""

    async def pin(self, selection: BundleSelection, deadline: float | None) -> PinnedBundle:
        """The bundle that is wanted; where that is left open, the one that is active now."""

    def hold(self, bundle: PinnedBundle) -> AbstractContextManager[object]:
        """Keep the bundle loaded within the block, in this process: others hold what they are asked for often enough.

        Raises:
            BundleMismatchError: it is not loaded in this process, where the stage is.
        """

    async def sample(
        self,
        bundle: PinnedBundle,
        seed: int,
        first_index: int,
        count: int,
        constraints: Constraints,
        deadline: float | None,
    ) -> list[DrawnPalette]:
        """Palettes ``first_index`` to ``first_index + count - 1`` of a seed."""


class LayoutStage(Protocol):
    """Generates and edits layouts."""

    def hold(self, bundle: PinnedBundle) -> AbstractContextManager[object]:
        """See `PaletteStage.hold`."""

    async def generate(self, bundle: PinnedBundle, task: LayoutTask, deadline: float | None) -> StagedLayout:
        """Generate a layout."""

    async def edit(self, bundle: PinnedBundle, task: EditTask, deadline: float | None) -> StagedEdit:
        """Edit a layout."""


class ImageStage(Protocol):
    """Translates layouts."""

    def hold(self, bundle: PinnedBundle) -> AbstractContextManager[object]:
        """See `PaletteStage.hold`."""

    async def translate(self, bundle: PinnedBundle, task: ImageTask, deadline: float | None) -> StagedImage:
        """Translate a layout and encode the image."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a factory; each is in process or remote, whatever the others are."""

    palette: PaletteStage
    layout: LayoutStage
    image: ImageStage

    @contextmanager
    def hold(self, bundle: PinnedBundle) -> Iterator[None]:
        """Keep a bundle loaded within the block in every stage that is in this process.

        Raises:
            BundleMismatchError: a stage of this process has not got it.
        """
        with self.palette.hold(bundle), self.layout.hold(bundle), self.image.hold(bundle):
            yield
