"""The record that a stage keeps of its training: sessions, time, machine and code. Part of the run's manifest."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from semantic_palette_training.trainers.context import TrainContext

RECORD_FILE = "record.json"

_LIBRARIES = ("torch", "numpy", "scikit-learn", "pillow", "semantic-palette")


class StageRecord:
    """`record.json` of a stage: one entry a session, brought up to date whenever a checkpoint is written.

    Args:
        directory: of the stage.
        context: where it trains now.
        first_step: updates done when this session begins.
    """

    def __init__(self, directory: Path, context: TrainContext, first_step: int) -> None:
        self._path = directory / RECORD_FILE
        self._earlier: list[dict[str, Any]] = read_record(directory)["sessions"] if self._path.exists() else []
        self._begun = time.monotonic()
        self._session = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "first_step": first_step}
        self._session |= session_facts(context)

    def write(self, seed: int, step: int, total_steps: int, images_seen: int) -> None:
        """Bring the file up to date."""
        seconds = round(time.monotonic() - self._begun, 1)
        sessions = [*self._earlier, self._session | {"last_step": step, "seconds": seconds}]
        record = {
            "seed": seed,
            "step": step,
            "total_steps": total_steps,
            "images_seen": images_seen,
            "seconds": round(sum(session["seconds"] for session in sessions), 1),
            "curves": "curves.jsonl",
            "sessions": sessions,
        }
        write_json(self._path, record)


def read_record(directory: Path) -> dict[str, Any]:
    """What `StageRecord` wrote in `directory`."""
    record: dict[str, Any] = json.loads((directory / RECORD_FILE).read_text())
    return record


def session_facts(context: TrainContext) -> dict[str, Any]:
    """Machine, processes, code and libraries of this session."""
    device = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else platform.machine()
    return {
        "device": f"{context.device.type} ({device})",
        "processes": context.world_size,
        "micro_batch": context.micro_batch,
        "threads": torch.get_num_threads(),
        "code": {"version": _version("semantic-palette"), "commit": _commit()},
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written; two commands may run side by side in a folder."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, `+` when it was changed since; None when it has none."""
    try:
        return _git("rev-parse", "HEAD") + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
