"""What writers of folders share: one writer at a time, files that are whole, names that are on disk."""

import fcntl
import os
from pathlib import Path
from typing import IO

from semantic_palette.errors import InvalidInputError
from semantic_palette.writers.job import FolderError


def open_index(path: Path, other: Path, kind: str) -> IO[bytes]:
    """Opens the index of a folder to read it and add to it, and locks it until it is closed; makes the folder.

    Args:
        path: the index.
        other: the index of the other kind of folder, whose labels would be overwritten.
        kind: what the other kind holds.

    Raises:
        InvalidInputError: the folder holds the other kind.
        FolderError: another process is writing to the folder.
        OSError: the folder cannot be written.
    """
    if other.exists() and other.stat().st_size > 0:
        raise InvalidInputError("out", str(path.parent), f"it holds {kind}; use another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    index = path.open("a+b")
    try:
        fcntl.flock(index, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        index.close()
        raise FolderError(f"another process is writing to {path.parent}") from None
    return index


def place(data: bytes, temporary: Path, path: Path) -> None:
    """Puts a file on disk and then in its place, so that it is never there in part."""
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def sync_folder(path: Path) -> None:
    """Puts the names in a folder on disk, as `os.fsync` does the content of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(index: IO[bytes], lines: bytes) -> None:
    """Adds lines to an index; they are on disk when it returns."""
    index.write(lines)
    index.flush()
    os.fsync(index.fileno())
