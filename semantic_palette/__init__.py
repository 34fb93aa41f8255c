"""Synthetic labelled scenes, steered by class proportions.

The modules below this package have the rest: `palette` and `layout` the algorithms, `budget` exact class counts,
`noise` the counter-based random numbers, and `manifest` the form of bundles. The clients are imported when they are
first used, so that nothing else needs gRPC.
"""

from typing import TYPE_CHECKING

from semantic_palette.constraints import Bounds, Constraints
from semantic_palette.editing import Box
from semantic_palette.errors import (
    BundleError,
    BundleNotFoundError,
    InfeasibleConstraintsError,
    InvalidInputError,
    SemanticPaletteError,
    UnknownClassError,
)
from semantic_palette.label_space import CAMVID, CITYSCAPES, STREETS, LabelClass, LabelSpace
from semantic_palette.pair import Adherence, BundleIdentity, EditedPair, EngineIdentity, Pair, PaletteOrigin, Provenance
from semantic_palette.palette_model import PaletteDraws, PaletteModel
from semantic_palette.priority import Priority

if TYPE_CHECKING:
    from semantic_palette.client import AsyncClient, Client

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "STREETS",
    "Adherence",
    "AsyncClient",
    "Bounds",
    "Box",
    "BundleError",
    "BundleIdentity",
    "BundleNotFoundError",
    "Client",
    "Constraints",
    "EditedPair",
    "EngineIdentity",
    "InfeasibleConstraintsError",
    "InvalidInputError",
    "LabelClass",
    "LabelSpace",
    "Pair",
    "PaletteDraws",
    "PaletteModel",
    "PaletteOrigin",
    "Priority",
    "Provenance",
    "SemanticPaletteError",
    "UnknownClassError",
]


def __getattr__(name: str) -> object:
    if name in ("AsyncClient", "Client"):
        from semantic_palette import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
