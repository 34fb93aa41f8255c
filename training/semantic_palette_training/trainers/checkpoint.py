"""Checkpoints: everything needed to continue a stage bit for bit, written atomically, read without unpickling code."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from semantic_palette.errors import SemanticPaletteError

if TYPE_CHECKING:
    from semantic_palette_training.trainers.loop import Stage

CHECKPOINT_FILE = "checkpoint.pt"


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
    """Write the stage's state to `directory/checkpoint.pt`. Random numbers are keyed by the step and have no state."""
    save_tensors({"stage": stage.name, "state": stage.state_dict()}, directory / CHECKPOINT_FILE)


def load_checkpoint(stage: "Stage", directory: Path) -> bool:
    """Continue `stage` from `directory/checkpoint.pt`; False when there is none.

    Raises:
        CheckpointError: the checkpoint is unreadable, or of another stage.
    """
    if not (directory / CHECKPOINT_FILE).exists():
        return False
    stage.load_state_dict(stage_state(directory, stage.name))
    return True


def stage_state(directory: Path, name: str) -> dict[str, Any]:
    """The state that stage `name` left in `directory/checkpoint.pt`.

    Raises:
        CheckpointError: the checkpoint is missing, unreadable, or of another stage.
    """
    path = directory / CHECKPOINT_FILE
    content = load_tensors(path)
    if content.get("stage") != name:
        raise CheckpointError(f"{path}: holds stage {content.get('stage')!r}, not {name!r}")
    state: dict[str, Any] = content["state"]
    return state
