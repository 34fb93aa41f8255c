"""Which engine answers, as provenance names it."""

from __future__ import annotations

from semantic_palette.pair import EngineIdentity
from semantic_palette_services.runtime.loaded_bundle import ServedModel


def engine_of(model: ServedModel, *, deterministic: bool) -> EngineIdentity:
    """What executes the deterministic or the ordinary items of a model."""
    info = model.engine_for(deterministic=deterministic)
    return EngineIdentity(info.engine, info.engine_version, info.precision, info.model_digest)
