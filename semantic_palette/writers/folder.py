"""Pairs as a plain folder.

labels/<id>.png   8-bit class ids
images/<id>.png   RGB
pairs.jsonl       one object a pair, in order of index; a pair is complete when its line is there
job.json          what was asked, see `job.py`

A pair's files come into place by rename, and are on disk before its line is. So whatever interrupts the writer, a power
cut too, leaves complete pairs only; the next writer drops a torn last line and goes on after the last complete pair.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette.pair import EditedPair, EngineIdentity, Pair, Provenance
from semantic_palette.palette import shares_from_palette
from semantic_palette.writers._disk import append, open_index, place, sync_folder
from semantic_palette.writers._edit_line import describe_edit
from semantic_palette.writers.job import FolderError, Job, StartedJob
from semantic_palette.writers.layouts import LAYOUTS_INDEX, PAIRS_INDEX

_FOLDERS = ("labels", "images")
_OPTIONAL = {"palette_origin", "edit"}
"""Keys that not every line has."""


@dataclass(frozen=True, slots=True)
class PairRecord:
    """One line of pairs.jsonl."""

    id: str
    """Index of the pair, six digits or more."""
    seed: int
    requested: dict[str, float]
    """Share of every class, by name."""
    achieved: dict[str, float]
    """Share of every class, by name."""
    kl: float
    """KL(requested || achieved) in nats."""
    label: str
    """Path of the layout, relative to the folder."""
    image: str
    """Path of the image, relative to the folder."""
    bundle: str
    bundle_digest: str
    engine: str
    """Engine and precision such as "openvino-bf16"; of layout and image, joined by "+", where they differ."""
    palette_origin: str | None = None
    """Where the requested palette came from, a `PaletteOrigin`; None in lines that were written before there was this
    key."""
    edit: dict[str, Any] | None = None
    """Of edited pairs only: what was edited, how, and what became of the region; see `describe_edit`."""

    @classmethod
    def of(cls, pair: Pair, space: LabelSpace) -> "PairRecord":
        """Describes a pair."""
        pair_id = f"{pair.index:06d}"
        return cls(
            id=pair_id,
            seed=pair.provenance.seed,
            requested=shares_from_palette(space, pair.requested),
            achieved=shares_from_palette(space, pair.achieved),
            kl=pair.kl,
            label=f"labels/{pair_id}.png",
            image=f"images/{pair_id}.png",
            bundle=pair.provenance.bundle.name,
            bundle_digest=pair.provenance.bundle.digest,
            engine=_engine(pair.provenance),
            palette_origin=pair.provenance.palette_origin.value,
            edit=describe_edit(pair, space) if isinstance(pair, EditedPair) else None,
        )

    def to_line(self) -> bytes:
        data = {key: value for key, value in asdict(self).items() if key not in _OPTIONAL or value is not None}
        return json.dumps(data).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "PairRecord | None":
        """Reads a line; None when it is torn.

        Raises:
            FolderError: it has more keys than these, so a later version wrote it. Taken for torn, it would be cut off.
        """
        if not line.endswith(b"\n"):
            return None
        try:
            data = json.loads(line)
        except ValueError:
            return None
        if isinstance(data, dict) and (unknown := set(data) - {f.name for f in fields(cls)}) and "id" in data:
            raise FolderError(f"pair {data['id']!r} has keys of a later version: {', '.join(sorted(unknown))}")
        if not isinstance(data, dict) or set(data) | _OPTIONAL != {f.name for f in fields(cls)}:
            return None
        return cls(**data)


class PairFolder:
    """A folder of pairs, for reading."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index_path = root / PAIRS_INDEX
        self.job_path = root / "job.json"

    def started_job(self) -> StartedJob | None:
        """Returns the job of the folder, or None when the folder has no pairs, as after a first run that was refused.

        Raises:
            FolderError: the job cannot be read, or there are pairs without a job.
        """
        if not self.index_path.exists() or self.index_path.stat().st_size == 0:
            return None
        if not self.job_path.exists():
            raise FolderError(
                f"{self.root} holds pairs but no job.json, so they cannot be continued; use another folder"
            )
        return StartedJob.read(self.job_path)

    def job_to_continue(self, job: Job, bundle: str | None) -> StartedJob | None:
        """Returns the started job when `job` makes the same pairs, be it more of them, or None when the folder is new.

        Raises:
            InvalidInputError: the folder holds another job; says where they differ. Or `bundle` is no reference.
            FolderError: as `started_job`.
        """
        wanted = BundleReference.parse(bundle)
        started = self.started_job()
        if started is None:
            return None
        differences = started.job.differences(job)
        begun = started.bundle
        if not wanted.admits(begun):
            digest = f"@{begun.digest}" if wanted.digest else ""
            differences.append(f"bundle was {f'{begun.name}/{begun.version}{digest}'!r} and is now {bundle!r}")
        if differences:
            reason = f"it holds another job ({'; '.join(differences)}); repeat its command or use another folder"
            raise InvalidInputError("out", str(self.root), reason)
        return started

    def records(self) -> Iterator[PairRecord]:
        """Yields the complete pairs in order of index."""
        with self.index_path.open("rb") as index:
            for line in index:
                record = PairRecord.from_line(line)
                if record is None:
                    return
                yield record


class FolderWriter:
    """Writes pairs to a folder, after those that are there. One writer at a time; use it as a context manager.

    Args:
        folder: where; it is made when it does not exist.
        on_record: is given every complete pair that is already there, in order.

    Raises:
        InvalidInputError: the folder holds edited layouts.
        FolderError: another process is writing to the folder, or a later version has written to it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: PairFolder, on_record: Callable[[PairRecord], None]) -> None:
        self._folder = folder
        self._partial = folder.root / ".partial"
        self._index = open_index(folder.index_path, folder.root / LAYOUTS_INDEX, "edited layouts")
        try:
            for name in _FOLDERS:
                (folder.root / name).mkdir(exist_ok=True)
            self.next_index = self._drop_incomplete(on_record)
            """Index of the first pair that is not there."""
            self._partial.mkdir(exist_ok=True)
        except BaseException:
            self._index.close()
            raise

    def write(self, pairs: Sequence[Pair], space: LabelSpace) -> list[PairRecord]:
        """Adds pairs, of which the first is `next_index`, and returns their lines; they are on disk when it returns."""
        records = [PairRecord.of(pair, space) for pair in pairs]
        for pair, record in zip(pairs, records, strict=True):
            self._place(record.label, pair.label_data)
            self._place(record.image, pair.image_data)
        for name in _FOLDERS:
            sync_folder(self._folder.root / name)
        append(self._index, b"".join(record.to_line() for record in records))
        self.next_index += len(pairs)
        return records

    def close(self) -> None:
        """Removes temporary files and lets the next writer in."""
        shutil.rmtree(self._partial, ignore_errors=True)
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _place(self, relative: str, data: bytes) -> None:
        place(data, self._partial / relative.replace("/", "-"), self._folder.root / relative)

    def _drop_incomplete(self, on_record: Callable[[PairRecord], None]) -> int:
        """Keeps the longest run of complete pairs from index 0 and cuts the index after it."""
        complete, end = 0, 0
        self._index.seek(0)
        for line in self._index:
            record = PairRecord.from_line(line)
            if record is None or record.id != f"{complete:06d}" or not self._has_files(record):
                break
            on_record(record)
            complete, end = complete + 1, end + len(line)
        self._index.truncate(end)
        return complete

    def _has_files(self, record: PairRecord) -> bool:
        # An empty file is what a copy that ran out of space leaves.
        paths = (self._folder.root / record.label, self._folder.root / record.image)
        return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def _engine(provenance: Provenance) -> str:
    engines: list[EngineIdentity | None] = [provenance.layout_engine, provenance.image_engine]
    names = [f"{engine.engine}-{engine.precision}" for engine in engines if engine is not None]
    return "+".join(dict.fromkeys(names))
