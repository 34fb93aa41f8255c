"""Whether a server serves the bundle that a request wants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from semantic_palette.errors import BundleNotFoundError, SemanticPaletteError
from semantic_palette.label_space import LabelSpace


class BundleView(Protocol):
    """What operations and servicers need to know of a bundle, wherever it is loaded."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def version(self) -> str:
        """Version, as in the model store."""

    @property
    def digest(self) -> str:
        """Hex sha256 of the manifest."""

    @property
    def label_space(self) -> LabelSpace:
        """The classes."""

    @property
    def height(self) -> int:
        """Height of layouts and images in pixels."""

    @property
    def width(self) -> int:
        """Width of layouts and images in pixels."""


class BundleContent(BundleView, Protocol):
    """A bundle on disk here, of which more is known than every service needs."""

    @property
    def operations(self) -> frozenset[str]:
        """Models that it has, served or not."""

    @property
    def styled(self) -> bool:
        """Whether its images have the look of a reference where one is given."""


class BundleMismatchError(SemanticPaletteError):
    """The request is pinned to another digest than the one that is served.

    Attributes:
        name: the bundle that is served.
        wanted: the digest that the request is pinned to.
        served: the digest that is served.
    """

    def __init__(self, name: str, wanted: str, served: str) -> None:
        super().__init__(
            f"bundle {name}: the request is pinned to digest {wanted[:80]!r}, this server serves {served!r}"
        )
        self.name = name
        self.wanted = wanted
        self.served = served


class MissingOperationError(SemanticPaletteError):
    """The bundle has not got the model, or the style bank, that a request needs.

    Attributes:
        name: the bundle.
        missing: what it lacks.
    """

    def __init__(self, name: str, missing: str, operations: Iterable[str]) -> None:
        has = ", ".join(sorted(operations)) or "no model"
        super().__init__(f"bundle {name}: there is no {missing}; the bundle has {has}")
        self.name = name
        self.missing = missing


def check_selection(bundle: BundleView, name: str, digest: str) -> None:
    """Check that ``bundle`` is the one asked for; an empty name or digest asks for whatever is served.

    Raises:
        BundleNotFoundError: another bundle is asked for.
        BundleMismatchError: another digest of this bundle is asked for.
    """
    if name and name != bundle.name:
        raise BundleNotFoundError(f"bundle {name[:80]!r} is not served here; served: {bundle.name!r}")
    if digest and digest != bundle.digest:
        raise BundleMismatchError(bundle.name, digest, bundle.digest)
