"""Checkpoints: everything needed to continue a stage bit for bit, written atomically, read without unpickling code."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from semantic_palette.errors import SemanticPaletteError

if TYPE_CHECKING:
    from semantic_palette_training.trainers.loop import Stage


class CheckpointError(SemanticPaletteError):
    """A checkpoint cannot be used; the message says which file and why."""


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain containers so that `path` is either the old file or the whole new one."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_tensors(path: Path) -> dict[str, Any]:
    """Read what `save_tensors` wrote, onto the CPU.

    Raises:
        CheckpointError: the file is missing or is not such a file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such checkpoint") from error
    except Exception as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a checkpoint")
    return content


def save_checkpoint(stage: "Stage", directory: Path) -> None:
    """Write the stage's state and torch's random state to `directory/checkpoint.pt`."""
    random_states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random_states["cuda"] = torch.cuda.get_rng_state()
    content = {"stage": stage.name, "state": stage.state_dict(), "random_states": random_states}
    save_tensors(content, directory / "checkpoint.pt")


def load_checkpoint(stage: "Stage", directory: Path) -> bool:
    """Continue `stage` from `directory/checkpoint.pt`; False when there is none.

    Raises:
        CheckpointError: the checkpoint is unreadable, or of another stage.
    """
    path = directory / "checkpoint.pt"
    if not path.exists():
        return False
    content = load_tensors(path)
    if content.get("stage") != stage.name:
        raise CheckpointError(f"{path}: holds stage {content.get('stage')!r}, not {stage.name!r}")
    stage.load_state_dict(content["state"])
    torch.set_rng_state(content["random_states"]["cpu"])
    if torch.cuda.is_available() and "cuda" in content["random_states"]:
        torch.cuda.set_rng_state(content["random_states"]["cuda"])
    return True
