"""Training curves: one line a point in `curves.jsonl`, for programs, and the same for TensorBoard, for eyes."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

CURVES_FILE = "curves.jsonl"


class Curves:
    """The curves of a stage. Points after `first_step`, which an earlier session left before it was cut, are dropped.

    Args:
        directory: of the stage.
        first_step: updates done when this session begins.
        enabled: whether this process writes.
    """

    def __init__(self, directory: Path, first_step: int, *, enabled: bool = True) -> None:
        self._enabled = enabled
        if not enabled:
            return
        path = directory / CURVES_FILE
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= first_step]
        path.write_text("".join(f"{line}\n" for line in kept))
        self._file = path.open("a")
        self._writer = SummaryWriter(str(directory / "curves"), purge_step=first_step + 1)

    def add(self, step: int, images_seen: int, metrics: Mapping[str, float]) -> None:
        """One point of every curve."""
        if not self._enabled:
            return
        self._file.write(json.dumps({"step": step, "images_seen": images_seen, **metrics}) + "\n")
        self._file.flush()
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, step)

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._file.close()
            self._writer.close()


def _lines(path: Path) -> list[str]:
    """The whole lines of the file; one that a crash cut short is left out."""
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
