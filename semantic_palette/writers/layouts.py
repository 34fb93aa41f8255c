"""Edited layouts as a plain folder.

labels/<id>.png   8-bit class ids
layouts.jsonl     one object an edit, in order of index; an edit is complete when its line is there

Files come into place as those of a folder of pairs do, and what was interrupted is continued in the same way. Every
line says what was asked and of which bundle; all lines of a folder are of one edit and one bundle.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from semantic_palette.bundle_reference import BundleReference
from semantic_palette.errors import InvalidInputError, shorten
from semantic_palette.pair import BundleIdentity
from semantic_palette.writers._disk import append, open_index, place, sync_folder
from semantic_palette.writers.job import FolderError

LAYOUTS_INDEX, PAIRS_INDEX = "layouts.jsonl", "pairs.jsonl"


class LayoutWriter:
    """Writes edited layouts to a folder, after those that are there. One writer at a time; use it as a context manager.

    Args:
        root: the folder; it is made when it does not exist.
        asked: the edit, as plain JSON values.
        bundle: reference to the bundle that is wanted; None: any.

    Attributes:
        next_index: index of the first edit that is not there.
        bundle: what made the edits that are there; None where there are none.

    Raises:
        InvalidInputError: the folder holds pairs, other edits, or edits of another bundle; or `bundle` is no reference.
        FolderError: another process is writing to the folder, or a line of it cannot be read.
        OSError: the folder cannot be written.
    """

    def __init__(self, root: Path, asked: dict[str, Any], bundle: str | None) -> None:
        self._root, self._labels, self._partial = root, root / "labels", root / ".partial"
        self._index = open_index(root / LAYOUTS_INDEX, root / PAIRS_INDEX, "pairs")
        try:
            self._labels.mkdir(exist_ok=True)
            self.next_index, self.bundle = self._read(asked, bundle)
            self._partial.mkdir(exist_ok=True)
        except BaseException:
            self._index.close()
            raise

    def write(self, edits: Sequence[tuple[bytes, dict[str, Any]]]) -> None:
        """Adds edits, of which the first is `next_index`: the PNG and the line of each, whose `label` is its path."""
        for data, line in edits:
            place(data, self._partial / f"{line['id']}.png", self._root / line["label"])
        sync_folder(self._labels)
        append(self._index, b"".join(json.dumps(line).encode() + b"\n" for _, line in edits))
        self.next_index += len(edits)

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

    def _read(self, asked: dict[str, Any], wanted: str | None) -> tuple[int, BundleIdentity | None]:
        """How many edits there are, and what made them; cuts off what an interrupted run left of a line."""
        count, end, begun = 0, 0, None
        self._index.seek(0)
        for line in self._index:
            if not line.endswith(b"\n"):
                break
            edit, made_by = self._parse(line, count)
            if edit != asked:
                raise InvalidInputError("out", str(self._root), "it holds other edits; use another folder")
            begun = begun or made_by
            if made_by != begun:
                raise FolderError(f"{self._root / LAYOUTS_INDEX}: line {count + 1} is of another bundle than line 1")
            count, end = count + 1, end + len(line)
        if begun is not None and not BundleReference.parse(wanted).admits(begun):
            made = f"{begun.name}/{begun.version}@{begun.digest}"
            raise InvalidInputError("out", str(self._root), f"it holds edits of {made}, not of {wanted}")
        self._index.truncate(end)
        return count, begun

    def _parse(self, line: bytes, position: int) -> tuple[object, BundleIdentity]:
        try:
            data = json.loads(line)
            if data["id"] != f"{position:06d}":
                raise ValueError(f"its id is {shorten(data['id'])}")
            return data["edit"], BundleIdentity(data["bundle"], data["bundle_version"], data["bundle_digest"])
        except (ValueError, KeyError, TypeError) as error:
            where = f"{self._root / LAYOUTS_INDEX}: line {position + 1}"
            raise FolderError(f"{where} is not that of an edited layout: {error!r}") from error
