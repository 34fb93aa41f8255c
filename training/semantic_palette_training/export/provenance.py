"""Where a bundle's weights come from: recipe, steps, time, machines and code, for the manifest and the card."""

from typing import Any

from semantic_palette_training.data.facts import DATA_FACTS
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.sources import TrainedRun

_SESSION_KEYS = ("started", "first_step", "last_step", "seconds", "device", "processes", "code", "libraries")


def data_record(run: TrainedRun, train: Scenes, heldout: Scenes) -> dict[str, Any]:
    """The `data` of the manifest: name, licence and use, and which scenes exactly."""
    return {
        "name": run.data.name,
        **DATA_FACTS[run.data.name],
        "scenes": {"train": len(train), "heldout": len(heldout)},
        "train_digest": run.manifest.train_digest,
    }


def training_record(run: TrainedRun) -> dict[str, Any]:
    """The `training` of the manifest: recipe without paths, architectures, and every stage's steps and sessions."""
    stages: dict[str, Any] = {"palette": {key: run.palette_report[key] for key in ("criterion", "components")}}
    for stage, record in run.manifest.stages.items():
        stages[stage] = {
            "steps": record["step"],
            "seconds": record["seconds"],
            "images_seen": record["images_seen"],
            "sessions": [{key: session.get(key) for key in _SESSION_KEYS} for session in record["sessions"]],
        }
    models = {kind: {"stage": model.stage, "config": model.config} for kind, model in run.models.items()}
    recipe = {key: _without_paths(value) for key, value in run.recipe.items()}
    return {"recipe": recipe, "recipe_digest": run.manifest.recipe_digest, "stages": stages, "models": models}


def _without_paths(value: Any) -> Any:
    """A section of a recipe without the entries that say where something lies on the machine that trained."""
    if not isinstance(value, dict):
        return value
    return {key: _without_paths(item) for key, item in value.items() if key != "root" and not _is_path(item)}


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and ("/" in value or "\\" in value)
