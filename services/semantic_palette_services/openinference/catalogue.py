"""Which models the protocol shows, and under which names.

A model is an operation of a bundle: ``camvid.layout`` in the version of the bundle. Of the default bundle the operation
alone (``layout``) names it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from semantic_palette.errors import BundleNotFoundError, SemanticPaletteError
from semantic_palette_services.bundle_operations import BundleOperations
from semantic_palette_services.bundle_selection import BundleMismatchError, BundleSelection
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
from semantic_palette_services.runtime.registry import BundleRegistry
from semantic_palette_services.runtime.served_model import ServedModel

# Scores of every class for every pixel are what exact budgets are met with, in this process: megabytes a layout.
_HIDDEN = frozenset({"layout_scores"})


class UnknownModelError(SemanticPaletteError):
    """No model of this name and version is served.

    Attributes:
        name: the name that was asked for.
        version: the version that was asked for; empty for any.
    """

    def __init__(self, name: str, version: str, served: str) -> None:
        wanted = f"{name[:80]!r}" + (f" in version {version[:80]!r}" if version else "")
        super().__init__(f"model {wanted} is not served here; served: {served or 'none'}")
        self.name = name
        self.version = version


@dataclass(frozen=True, slots=True)
class ExposedModel:
    """A model that the protocol shows.

    Attributes:
        name: ``BUNDLE.OPERATION``.
        bundle: the bundle that it is of.
        served: the model.
    """

    name: str
    bundle: LoadedBundle
    served: ServedModel

    @property
    def version(self) -> str:
        """Version of the model: its bundle's."""
        return self.bundle.version


class ModelCatalogue:
    """The models in memory, by name.

    Args:
        bundles: the bundles that they are of.
    """

    def __init__(self, bundles: BundleRegistry[BundleOperations]) -> None:
        self._bundles = bundles

    @contextmanager
    def lease(self, name: str, version: str, digest: str = "") -> Iterator[ExposedModel]:
        """The model of this name; it stays loaded within the block.

        Args:
            name: the model, qualified by its bundle or not.
            version: of the bundle; empty means the active one.
            digest: of the bundle; empty means any.

        Raises:
            UnknownModelError: there is none of this name and version.
            BundleMismatchError: another digest is served.
        """
        bundle_name, _, operation = name.rpartition(".")
        wanted = BundleSelection(name=bundle_name or self._bundles.default_name, version=version, digest=digest)
        with ExitStack() as stack:
            try:
                loaded = stack.enter_context(self._bundles.lease(wanted)).loaded
            except BundleNotFoundError:
                raise UnknownModelError(name, version, self._served()) from None
            except BundleMismatchError as error:
                if error.kind == "digest":
                    raise
                held = self._bundles.find(replace(wanted, digest=""))
                if held is None:
                    raise UnknownModelError(name, version, self._served()) from None
                # The digest is another version's.
                raise BundleMismatchError(held.bundle.name, digest, held.bundle.digest) from None
            served = None if operation in _HIDDEN else loaded.models.get(operation)
            if served is None:
                raise UnknownModelError(name, version, self._served())
            yield ExposedModel(f"{loaded.name}.{operation}", loaded, served)

    def versions(self, model: ExposedModel) -> list[str]:
        """The versions of a model that are in memory, the oldest loaded first."""
        held = (held.bundle.loaded for held in self._bundles.held)
        return [b.version for b in held if b.name == model.bundle.name and model.served.operation in b.models]

    def _served(self) -> str:
        return "; ".join(filter(None, (_describe(held.bundle.loaded) for held in self._bundles.held)))


def _describe(bundle: LoadedBundle) -> str:
    names = [f"{bundle.name}.{operation}" for operation in bundle.models if operation not in _HIDDEN]
    return f"{', '.join(names)} in version {bundle.version}" if names else ""
