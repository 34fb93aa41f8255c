"""Which models the protocol shows, and under which names.

A model is an operation of a bundle: ``camvid.layout`` in the version of the bundle. Where a bundle is the default one,
and today the only one, the operation alone (``layout``) names it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette.errors import SemanticPaletteError
from semantic_palette_services.runtime.loaded_bundle import LoadedBundle
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
    """The models of the bundle that is served, by name.

    Args:
        bundle: the bundle, loaded.
    """

    def __init__(self, bundle: LoadedBundle) -> None:
        self._bundle = bundle

    def resolve(self, name: str, version: str) -> ExposedModel:
        """The model of this name, qualified by its bundle or not; an empty version means the one that is served.

        Raises:
            UnknownModelError: there is none.
        """
        bundle = self._bundle
        operation = name.removeprefix(f"{bundle.name}.")
        served = None if operation in _HIDDEN else bundle.models.get(operation)
        if served is None or version not in ("", bundle.version):
            raise UnknownModelError(name, version, self._served())
        return ExposedModel(f"{bundle.name}.{operation}", bundle, served)

    def _served(self) -> str:
        bundle = self._bundle
        names = [f"{bundle.name}.{operation}" for operation in bundle.models if operation not in _HIDDEN]
        return f"{', '.join(names)} in version {bundle.version}" if names else ""
