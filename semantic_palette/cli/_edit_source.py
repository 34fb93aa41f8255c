"""What is edited: a pair of a folder, a pair in two files, or a layout alone."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from semantic_palette.cli._run import reference_to
from semantic_palette.client import EditItem, EditSource
from semantic_palette.editing import Box
from semantic_palette.errors import InvalidInputError
from semantic_palette.writers.folder import PairFolder


@dataclass(frozen=True, slots=True)
class Subject:
    """A layout, with an image or without."""

    labels: bytes
    """PNG of class ids."""
    image: bytes | None
    """A PNG, JPEG or WebP file."""
    seed: int = 0
    """Of its look; so is the index."""
    index: int = 0
    bundle: str | None = None
    """Reference to exactly the bundle that made it, where that is known."""


@dataclass(frozen=True, slots=True)
class Change:
    """What shall become of a region: a box, the bytes of a mask, or the whole frame."""

    region: Box | bytes | None
    target: dict[str, float] | None
    deltas: dict[str, float] | None

    def item(self, subject: Subject, seed: int, index: int) -> EditItem:
        """The edit of a layout."""
        return EditItem(
            layout=subject.labels,
            target=self.target,
            deltas=self.deltas,
            region=self.region,
            seed=seed,
            index=index,
        )

    def source(self, subject: Subject, image: bytes) -> EditSource:
        """The edit of a pair."""
        return EditSource(
            layout=subject.labels,
            image=image,
            target=self.target,
            deltas=self.deltas,
            region=self.region,
            seed=subject.seed,
            index=subject.index,
        )

    def describe(self, subject: Subject) -> dict[str, Any]:
        """The edit as plain JSON values: equal where the results are."""
        region: Any = self.region
        if isinstance(region, Box):
            region = asdict(region)
        elif isinstance(region, bytes):
            region = {"mask_sha256": _sha256(region)}
        return {
            "labels_sha256": _sha256(subject.labels),
            "image_sha256": None if subject.image is None else _sha256(subject.image),
            "look": {"seed": subject.seed, "index": subject.index},
            "region": region,
            "target": self.target,
            "deltas": self.deltas,
        }


def read_subject(source: Path | None, pair: str, labels: Path | None, image: Path | None) -> Subject:
    """Reads what is to be edited.

    Args:
        source: a folder of pairs or a layout PNG.
        pair: index or name of a pair of the folder.
        labels: a layout PNG, in place of `source`.
        image: the image of a layout that is in no folder.

    Raises:
        InvalidInputError: not exactly one of source and labels is given, or there is no such pair.
    """
    if (source is None) == (labels is None):
        given = "neither" if source is None else "both"
        raise InvalidInputError("SOURCE and --labels", given, "a folder of pairs or a layout, once")
    if source is not None and source.is_dir():
        if image is not None:
            raise InvalidInputError("--image", str(image), "a pair of a folder has an image already")
        return _of_folder(PairFolder(source), pair)
    layout = source or labels
    assert layout is not None, "one of the two is given"
    return Subject(layout.read_bytes(), None if image is None else image.read_bytes())


def _of_folder(folder: PairFolder, pair: str) -> Subject:
    started = folder.started_job()
    name = f"{int(pair):06d}" if pair.isdecimal() else pair
    record = next((record for record in folder.records() if record.id == name), None) if started else None
    if started is None or record is None:
        raise InvalidInputError("--pair", pair, f"index or name of a complete pair in {folder.root} is")
    # A pair that was edited before has the look of the pair that it was made from.
    look = (started.job.edit or {}).get("look") or {"seed": record.seed, "index": int(record.id)}
    return Subject(
        (folder.root / record.label).read_bytes(),
        (folder.root / record.image).read_bytes(),
        look["seed"],
        look["index"],
        reference_to(started.bundle),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
