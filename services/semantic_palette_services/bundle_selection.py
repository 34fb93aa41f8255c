"""Which bundle a request wants, and what is said where it is not here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from semantic_palette.errors import SemanticPaletteError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSelection:
    """Which bundle a request wants; what is empty is left to the server.

    Attributes:
        name: name; default: the server's default bundle or, with a digest, whichever has it.
        version: version; default: the active one.
        digest: hex sha256 of the manifest; default: any.
    """

    name: str = ""
    version: str = ""
    digest: str = ""

    def admits(self, bundle: BundleView) -> bool:
        """Whether a bundle is one that this may mean."""
        given = ((self.name, bundle.name), (self.version, bundle.version), (self.digest, bundle.digest))
        return all(not wanted or wanted == actual for wanted, actual in given)


class BundleMismatchError(SemanticPaletteError):
    """The request is pinned to a digest or a version that is not loaded.

    Attributes:
        name: the bundle.
        wanted: the digest or version that the request is pinned to.
        served: those that are loaded, separated by commas.
        kind: what the request is pinned to.
    """

    def __init__(self, name: str, wanted: str, served: str, kind: Literal["digest", "version"] = "digest") -> None:
        super().__init__(
            f"bundle {name}: the request is pinned to {kind} {wanted[:80]!r}, this server serves {served!r}"
        )
        self.name = name
        self.kind = kind
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
