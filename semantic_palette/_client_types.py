"""What a client is given and gives back. K classes, H height, W width."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.editing import Box, RegionShares
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import BundleIdentity, EngineIdentity, Pair, PaletteOrigin

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp", "raw"]
"""How images travel; "raw" is row-major RGB, 8 bits a channel."""

PaletteLike: TypeAlias = Mapping[str, float] | NDArray[np.float64]
"""Shares by class name, or a float array [K] in the order of class ids."""

LayoutLike: TypeAlias = NDArray[np.uint8] | bytes
"""A label map uint8 [H, W], or the bytes of an 8-bit greyscale PNG of class ids."""


ImageLike: TypeAlias = "NDArray[np.uint8] | bytes | EncodedImage"
"""An image uint8 [H, W, 3], the bytes of a PNG, JPEG or WebP file, or an image as a client gave it."""

RegionLike: TypeAlias = Box | NDArray[np.bool_] | NDArray[np.uint8] | bytes | None
"""Pixels that may change: a box, a mask [H, W] or the bytes of an 8-bit greyscale PNG (not 0 may change), or None for
the whole frame."""


@dataclass(frozen=True, slots=True)
class BundleDescription:
    """What a bundle draws: its classes and the size of its layouts and images in pixels."""

    identity: BundleIdentity
    label_space: LabelSpace
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class SampledPalette:
    """A draw from the palette model: palette float64 [K], its index, and whether it was SAMPLED or PROJECTED."""

    index: int
    palette: NDArray[np.float64]
    origin: PaletteOrigin


@dataclass(frozen=True, slots=True)
class LayoutItem:
    """A layout to generate; its noise depends on (seed, index) alone."""

    palette: PaletteLike
    seed: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class GeneratedLayout:
    """A layout uint8 [H, W], its PNG, its palette float64 [K], and its KL from the request in nats."""

    labels: NDArray[np.uint8]
    label_data: bytes
    achieved: NDArray[np.float64]
    kl: float


@dataclass(frozen=True, slots=True)
class LayoutBatch:
    """Layouts in the order of the items, and what made them."""

    bundle: BundleIdentity
    engine: EngineIdentity
    layouts: list[GeneratedLayout]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StyleReference:
    """A scene whose look an image shall have: an image and its layout, of the bundle's size both."""

    image: ImageLike
    layout: LayoutLike

    @classmethod
    def of(cls, pair: Pair) -> Self:
        """The look of a pair that a client gave."""
        return cls(image=pair.decode_image(), layout=pair.labels)


@dataclass(frozen=True, slots=True)
class ImageItem:
    """A layout to translate; the noise of its appearance depends on (seed, index) alone.

    With a bundle of styled images, every class that the reference shows looks as it does there, and the others look as
    in a training scene that (seed, index) picks. Other bundles take no notice of the reference.
    """

    layout: LayoutLike
    seed: int = 0
    index: int = 0
    reference: StyleReference | None = None


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it travelled; size in pixels."""

    data: bytes
    format: ImageFormat
    height: int
    width: int

    def decode(self) -> NDArray[np.uint8]:
        """Decodes the image to uint8 [H, W, 3]."""
        if self.format == "raw":
            return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 3)
        with Image.open(io.BytesIO(self.data), formats=[self.format]) as image:
            return np.asarray(image.convert("RGB"))


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """Images in the order of the items, and what made them."""

    bundle: BundleIdentity
    engine: EngineIdentity
    images: list[EncodedImage]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EditItem:
    """A layout to edit; the noise of the edit depends on (seed, index) alone.

    Exactly one of target and deltas is given, both by class name and in shares of the region's pixels. What target
    leaves is divided among the other classes in proportion to their present shares; what deltas take, the other classes
    pay in proportion.
    """

    layout: LayoutLike
    target: Mapping[str, float] | None = None
    deltas: Mapping[str, float] | None = None
    region: RegionLike = None
    seed: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class EditedLayout:
    """A layout uint8 [H, W] after its edit, its PNG, and what became of the region."""

    labels: NDArray[np.uint8]
    label_data: bytes
    region: RegionShares


@dataclass(frozen=True, slots=True)
class EditBatch:
    """Edited layouts in the order of the items, and what made them."""

    bundle: BundleIdentity
    engine: EngineIdentity
    layouts: list[EditedLayout]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EditSource:
    """A pair to edit; target, deltas and region as in `EditItem`.

    The appearance of what is painted anew depends on (seed, index) alone: those of a pair that the factory made keep
    its look, and `of` takes them over.
    """

    layout: LayoutLike
    image: ImageLike
    target: Mapping[str, float] | None = None
    deltas: Mapping[str, float] | None = None
    region: RegionLike = None
    seed: int = 0
    index: int = 0

    @classmethod
    def of(
        cls,
        pair: Pair,
        *,
        target: Mapping[str, float] | None = None,
        deltas: Mapping[str, float] | None = None,
        region: RegionLike = None,
    ) -> Self:
        """A pair that a client gave, with its look; an edited one keeps the look of the pair that it was made from."""
        made = pair.provenance.edit or pair.provenance
        image = pair.decode_image()
        return cls(
            layout=pair.labels,
            image=image,
            target=target,
            deltas=deltas,
            region=region,
            seed=made.seed,
            index=made.index,
        )
