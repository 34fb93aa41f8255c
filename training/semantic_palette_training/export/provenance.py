"""Where a bundle's weights come from: data with its licence, recipe, steps and time, for the manifest and the card."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from semantic_palette_training.data.facts import DATA_FACTS
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.sources import TrainedRun


def data_record(run: TrainedRun, train: Scenes, heldout: Scenes) -> dict[str, Any]:
    """The `data` of the manifest: name, licence and use, and which scenes exactly."""
    return {
        "name": run.data.name,
        **DATA_FACTS[run.data.name],
        "scenes": {"train": len(train), "heldout": len(heldout)},
        "train_digest": train.digest(),
    }


def training_record(run: TrainedRun) -> dict[str, Any]:
    """The `training` of the manifest: recipe without paths, architecture, steps and time by stage."""
    recipe = run.recipe | {"data": {key: value for key, value in run.recipe["data"].items() if key != "root"}}
    configs = {"layout": asdict(run.layout.config), "image": asdict(run.image.config)}
    stages = {
        stage: {
            "steps": run.steps[stage],
            "seconds": round(stage_seconds(run.directory / stage / "curves")),
            "model_config": config,
        }
        for stage, config in configs.items()
    }
    palette = {key: run.palette_report[key] for key in ("criterion", "components")}
    return {"recipe": recipe, "stages": {"palette": palette, **stages}}


def stage_seconds(curves: Path) -> float:
    """Time that a stage trained: the sum over its sessions of first to last event of the curves; 0 without curves."""
    total = 0.0
    for file in sorted(curves.glob("events.out.tfevents.*")):
        times = list(_event_times(file))
        total += times[-1] - times[0] if times else 0.0
    return total


def _event_times(file: Path) -> Iterator[float]:
    for event in EventFileLoader(str(file)).Load():
        yield float(event.wall_time)
