"""What a client is given and gives back. K classes, H height, W width."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import BundleIdentity, EngineIdentity, PaletteOrigin

ImageFormat: TypeAlias = Literal["png", "jpeg", "webp", "raw"]
"""How images travel; "raw" is row-major RGB, 8 bits a channel."""

PaletteLike: TypeAlias = Mapping[str, float] | NDArray[np.float64]
"""Shares by class name, or a float array [K] in the order of class ids."""

LayoutLike: TypeAlias = NDArray[np.uint8] | bytes
"""A label map uint8 [H, W], or the bytes of an 8-bit greyscale PNG of class ids."""


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


@dataclass(frozen=True, slots=True)
class ImageItem:
    """A layout to translate; the noise of its appearance depends on (seed, index) alone."""

    layout: LayoutLike
    seed: int = 0
    index: int = 0


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
