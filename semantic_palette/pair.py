"""A pair: a layout, its image, and how both were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from semantic_palette.editing import Box, RegionShares


class Adherence(StrEnum):
    """How closely a generated layout follows its palette."""

    NATURAL = "natural"
    """Per-pixel argmax of the generator's activation, as in the paper: close, not exact."""
    EXACT = "exact"
    """Integer pixel budgets are met exactly."""


class PaletteOrigin(StrEnum):
    """Where a requested palette came from."""

    GIVEN = "given"
    """The caller gave it."""
    SAMPLED = "sampled"
    """Drawn from the palette model; bounds held by rejection or conditioning."""
    PROJECTED = "projected"
    """Drawn, then projected within bounds that rejection did not meet."""
    MEASURED = "measured"
    """Counted in a layout that the caller gave."""
    EDITED = "edited"
    """Worked out from a layout that the caller gave and an edit of it."""


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """Which bundle answered."""

    name: str
    version: str
    digest: str
    """Hex sha256 of the bundle's manifest."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What executed a model."""

    engine: str
    engine_version: str
    precision: str
    model_digest: str
    """Hex sha256 of the model file; of the lines of `sha256sum` where its weights are in files of their own."""


@dataclass(frozen=True, slots=True)
class EditOrigin:
    """What an edited pair was made from: with the source, enough to make it again.

    Empty digests, and neither target nor deltas, are of services that did not say it yet.
    """

    seed: int
    """Of the appearance of what was painted anew; so is the index."""
    index: int
    source: int = 0
    """Position of the source in the request."""
    labels_sha256: str = ""
    """Hex digest of the source's class ids: H * W bytes, row-major."""
    image_sha256: str = ""
    """Hex digest of the source's pixels: H * W * 3 bytes, row-major RGB."""
    region: Box | bytes | None = None
    """Where: a box, a PNG of the frame's size whose pixels are 1 where they might change, or the whole frame."""
    target: Mapping[str, float] | None = None
    """Shares of the region that were asked for, by class name; or else deltas."""
    deltas: Mapping[str, float] | None = None
    """Changes of shares of the region that were asked for, by class name."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a pair was made: enough to make it again."""

    bundle: BundleIdentity
    seed: int
    index: int
    adherence: Adherence
    deterministic: bool
    palette_origin: PaletteOrigin
    layout_engine: EngineIdentity | None
    """None for layouts that the caller gave; of an edited pair, what executed the editor."""
    image_engine: EngineIdentity
    service_version: str
    edit: EditOrigin | None = None
    """Of edited pairs only; their seed and index are those of the edit."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A labelled scene."""

    index: int
    labels: npt.NDArray[np.uint8]
    """Class ids, uint8 [H, W]."""
    label_data: bytes
    """The layout, encoded: as PNG in the pairs of a client; in a service as the request asks, PNG or raw class ids."""
    image_data: bytes
    """The image, encoded as `image_format` says."""
    image_format: str
    """png, jpeg, webp or raw (row-major RGB, 8 bits a channel)."""
    requested: npt.NDArray[np.float64]
    """Palette asked for, float64 [K]."""
    achieved: npt.NDArray[np.float64]
    """Palette counted in `labels`, float64 [K]."""
    kl: float
    """KL(requested || achieved) in nats, as `kl_divergence`."""
    provenance: Provenance

    def decode_image(self) -> npt.NDArray[np.uint8]:
        """Returns the image, uint8 [H, W, 3], RGB."""
        if self.image_format == "raw":
            return np.frombuffer(self.image_data, dtype=np.uint8).reshape(*self.labels.shape, 3)
        with Image.open(BytesIO(self.image_data), formats=[self.image_format]) as image:
            return np.asarray(image.convert("RGB"))


@dataclass(frozen=True, slots=True, eq=False)
class EditedPair(Pair):
    """A pair after an edit of a region. Its palettes and KL are of the whole frame, those of `region` of the region."""

    region: RegionShares
