"""Scenes kept at the size of training, so that a run starts at once: `semantic-palette data prepare` writes them.

    CACHE/<data set>-<height>x<width>-<split>-<key>/{labels.npy, images.npy, scenes.json}

The arrays are memory-mapped copy-on-write: several processes share one copy, and a set may be larger than memory.
`scenes.json` lists every file that was read, with size and time of change; a cache that differs from what is on disk
now in any of it, or in the config, is stale and is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.config import to_plain
from semantic_palette_training.data.scene_files import SceneSource, iterate_scenes, require_matched
from semantic_palette_training.data.scenes import DataError, Scenes, Split

CACHE_VARIABLE = "SEMANTIC_PALETTE_CACHE"
#: Grows when scenes come out otherwise of the same files and config: caches of before are then stale.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A cached split."""

    folder: Path
    num_scenes: int
    num_bytes: int
    digest: str
    """`Scenes.digest()`."""
    built: bool
    """Whether it was written now; otherwise it was there and is up to date."""


def cache_folder() -> Path:
    """Where caches are: `$SEMANTIC_PALETTE_CACHE`, or `~/.cache/semantic-palette`."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path("~/.cache/semantic-palette").expanduser()


def prepare_scenes(
    config: Any,
    split: Split,
    source: SceneSource,
    cache: Path | None = None,
    on_scene: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Write a split to the cache, unless it is there and up to date. A few scenes are in memory at a time.

    Args:
        config: data config of the source, with `name`, `height` and `width`.
        split: which split the source is.
        source: its files.
        cache: folder of caches; default `cache_folder()`.
        on_scene: called with the scenes written so far and their number.

    Raises:
        DataError: as `read_scenes`, or a file changed while it was read.
        OSError: the cache cannot be written.
    """
    require_matched(source)
    cache = cache_folder() if cache is None else cache
    identity = _identity(config, split, source)
    folder = cache / _folder_name(config, split, source)
    scenes = _open(folder, identity, source)
    built = scenes is None
    if scenes is None:
        partial = _partial(cache)
        try:
            _write(partial, config, source, on_scene)
            if _identity(config, split, source) != identity:
                raise DataError(f"{source.files[0].image}: this file or another of its split changed while it was read")
            scenes = _map(partial, source, "")
            _write_json(partial / "scenes.json", {"digest": scenes.digest(), **identity})
            _put(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Prepared(folder, len(scenes), scenes.labels.nbytes + scenes.images.nbytes, scenes.digest(), built)


def prepared_scenes(config: Any, split: Split, source: SceneSource) -> Scenes | None:
    """The split from the cache, memory-mapped; None where it is not there or is stale."""
    if not source.files or source.unmatched:
        return None
    folder = cache_folder() / _folder_name(config, split, source)
    if not folder.is_dir():
        return None
    return _open(folder, _identity(config, split, source), source)


def _folder_name(config: Any, split: Split, source: SceneSource) -> str:
    where = os.path.commonpath([file.image.absolute().parent for file in source.files])
    key = json.dumps([_settings(config), split, where], sort_keys=True)
    return f"{config.name}-{config.height}x{config.width}-{split}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _settings(config: Any) -> dict[str, Any]:
    """The config but for `root`, which may be written in several ways; the files say where they are."""
    return {key: value for key, value in to_plain(config).items() if key != "root"}


def _identity(config: Any, split: Split, source: SceneSource) -> dict[str, Any]:
    """All that decides what the scenes are."""
    paths = [path for file in source.files for path in file.paths]
    return {
        "format": _FORMAT,
        "config": _settings(config),
        "split": split,
        "label_space": source.label_space.to_json(),
        "names": [file.name for file in source.files],
        "files": [_state(path) for path in (*paths, *source.meaning)],
    }


def _state(path: Path) -> list[str | int]:
    status = path.stat()
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def _open(folder: Path, identity: dict[str, Any], source: SceneSource) -> Scenes | None:
    try:
        stored = json.loads((folder / "scenes.json").read_text(encoding="utf-8"))
        digest = stored.pop("digest")
        return _map(folder, source, str(digest)) if stored == json.loads(json.dumps(identity)) else None
    except (OSError, ValueError, KeyError, AttributeError, DataError):
        return None  # not there, or damaged: as good as stale


def _map(folder: Path, source: SceneSource, digest: str) -> Scenes:
    labels, images = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("labels", "images"))
    return Scenes(labels, images, source.label_space, [file.name for file in source.files], digest)


def _write(folder: Path, config: Any, source: SceneSource, on_scene: Callable[[int, int], None]) -> None:
    """Both arrays, scene by scene. Plain writing, because a full disk is then an error and not a crash."""
    shape = (len(source.files), config.height, config.width)
    with (folder / "labels.npy").open("wb") as labels_file, (folder / "images.npy").open("wb") as images_file:
        _write_header(labels_file, shape)
        _write_header(images_file, (*shape, 3))
        scenes = iterate_scenes(source, config.height, config.width)
        for done, (labels, image) in enumerate(scenes, start=1):
            labels_file.write(_bytes(labels))
            images_file.write(_bytes(image))
            on_scene(done, len(source.files))


def _write_header(file: Any, shape: Sequence[int]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _bytes(array: NDArray[np.uint8]) -> memoryview:
    return np.ascontiguousarray(array).data


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def _partial(cache: Path) -> Path:
    """A new folder that no reader looks at. (Those of `tempfile` would be closed to other users.)"""
    folder = cache / f".partial-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def _put(partial: Path, folder: Path) -> None:
    """Make `partial` the cache. Processes that have the stale one mapped keep it until they end."""
    if folder.exists():
        stale = _partial(folder.parent)
        os.replace(folder, stale / folder.name)
        shutil.rmtree(stale)
    os.replace(partial, folder)
