"""The manifest of a run: what was trained on what, by which code, where and for how long.

`run.json` in the run folder holds what is fixed when the run begins; every stage keeps its own `record.json`, so that
two commands can train two stages of a run side by side. `read_run_manifest` puts them together.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from semantic_palette.errors import InvalidInputError
from semantic_palette_training.config import to_plain
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.recipe import Recipe, dump_recipe, load_recipe
from semantic_palette_training.trainers.stage_record import RECORD_FILE, read_record, write_json, write_whole

RUN_FILE = "run.json"
RECIPE_FILE = "recipe.yaml"


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What a run folder says of itself."""

    created: str
    """ISO 8601, UTC."""
    recipe_digest: str
    """Sha256 of `recipe.yaml` as the run began."""
    train_digest: str
    """Digest of the training scenes (`Scenes.digest`)."""
    train_scenes: int
    """How many there are."""
    seeds: dict[str, int]
    """By stage."""
    stages: dict[str, dict[str, Any]]
    """The record of every stage that has begun (trainers/stage_record.py)."""


def claim_run(directory: Path, recipe: Recipe, scenes: Scenes) -> None:
    """Make `directory` the run of this recipe and data, or check that it is.

    Raises:
        InvalidInputError: it holds a run of another recipe or of other data.
    """
    directory.mkdir(parents=True, exist_ok=True)
    recipe_file, run_file = directory / RECIPE_FILE, directory / RUN_FILE
    if not run_file.exists():
        text = dump_recipe(recipe)
        write_whole(recipe_file, text)
        write_json(
            run_file,
            {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "recipe_digest": hashlib.sha256(text.encode()).hexdigest(),
                "train_digest": scenes.digest(),
                "train_scenes": len(scenes),
                "seeds": {name: getattr(recipe, name).seed for name in recipe.stages()},
            },
        )
        return
    if _what_is_trained(load_recipe(recipe_file)) != _what_is_trained(recipe):
        raise InvalidInputError("out", str(directory), "a new folder, or one whose recipe.yaml is the same recipe")
    if read_run_manifest(directory).train_digest != scenes.digest():
        raise InvalidInputError("data", recipe.data.name, f"the scenes that {directory} was begun with")


def read_run_manifest(directory: Path) -> RunManifest:
    """The manifest of a run.

    Raises:
        OSError: there is no run in `directory`.
        ValueError, KeyError, TypeError: a file of the manifest is damaged.
    """
    facts = json.loads((directory / RUN_FILE).read_text())
    stages = {path.parent.name: read_record(path.parent) for path in sorted(directory.glob(f"*/{RECORD_FILE}"))}
    return RunManifest(**facts, stages=stages)


def _what_is_trained(recipe: Recipe) -> tuple[object, ...]:
    """The parts of a recipe that decide what comes out: not its description, not the intervals of the loop, not where
    the data lies (its digest is compared)."""
    data = {key: value for key, value in to_plain(recipe.data).items() if key != "root"}
    return data, *(getattr(recipe, name) for name in recipe.stages())
