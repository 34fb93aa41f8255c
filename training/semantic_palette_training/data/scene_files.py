"""Reading scenes from files: what every data set on disk has in common.

A data set's own module says which files make a scene and what its label values mean, as a `SceneSource`; listing,
reading, checking (`check.py`) and caching (`prepared.py`) work on that alone.

Legend: N scenes, H and W pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from semantic_palette.label_space import LabelSpace
from semantic_palette_training.data.scenes import DataError, Scenes

#: Environment variable of the folder in which data sets are looked for.
DATA_VARIABLE = "SEMANTIC_PALETTE_DATA"

#: What a palette image's or a grey image's pixels are: numbers. 16-bit files open as I;16, or as I by older codecs.
LABEL_MODES = ("1", "L", "P", "I;16", "I")
_IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")

#: What undoes an orientation, by its number in EXIF.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: int16 [V]: the class id of every label value from 0 to V - 1, or -1 where the value is not allowed.
IdTable: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class SceneFile:
    """The files of one scene."""

    name: str
    """Unique within the split."""
    image: Path
    labels: Path
    """Label map; the first one, where several files make the labels of a scene."""
    parts: tuple[Path, ...] = ()
    """Further label files (a mask a class, painted over each other)."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file of the scene."""
        return (self.image, self.labels, *self.parts)


#: Class ids uint8 [H, W] of a scene at the size of its files. Raises a DataError that names the file.
LabelReader: TypeAlias = Callable[[SceneFile], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class SceneSource:
    """One split of a data set on disk, listed but not read."""

    files: tuple[SceneFile, ...]
    """In the order of names; frames of a video therefore in time order."""
    label_space: LabelSpace
    read_labels: LabelReader
    unmatched: tuple[str, ...] = ()
    """A message for every file that lacks its counterpart. A split with one does not load."""
    same_size: bool = True
    """Whether an image and its label map must have one size; otherwise, one aspect."""
    meaning: tuple[Path, ...] = ()
    """Files that say what label values mean, where the data set brings such: a cache is stale once they change."""


def data_root(root: str | None, folder: str, marker: str) -> Path:
    """The folder of a data set: `root` or `$SEMANTIC_PALETTE_DATA`, or `folder` inside it, whichever holds `marker`.

    Raises:
        DataError: neither is given, or `marker` is in neither folder; the message says where it was looked for.
    """
    given = root if root is not None else os.environ.get(DATA_VARIABLE)
    if not given:
        raise DataError(
            f"{folder} is not found: set data.root, or {DATA_VARIABLE} to the folder that contains {folder}/"
        )
    candidates = (Path(given), Path(given, folder))
    for candidate in candidates:
        if (candidate / marker).is_dir():
            return candidate
    raise DataError(f"{folder} is not found: no folder {marker}/ in {candidates[0]} or {candidates[1]}")


def list_files(folder: Path, *suffixes: str) -> dict[str, Path]:
    """Files in and below `folder` whose names end in a suffix, by their path in `folder` without it, in its order.

    Raises:
        DataError: there is no such folder, or two files differ by nothing but the suffix.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in visible_files(folder):
        suffix = next((suffix for suffix in suffixes if path.name.endswith(suffix)), None)
        if suffix is None:
            continue
        key = path.relative_to(folder).as_posix().removesuffix(suffix)
        if key in found:
            raise DataError(f"{path}: is there twice, the other is {found[key]}")
        found[key] = path
    return dict(sorted(found.items()))


def visible_files(folder: Path) -> Iterator[Path]:
    """Files in and below a folder, sorted, but for hidden ones (`.DS_Store`, `._x.png`, `.ipynb_checkpoints/`)."""
    for directory, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(directory, name) for name in sorted(names) if not name.startswith("."))


def pair_files(images: Mapping[str, Path], labels: Mapping[str, Path]) -> tuple[tuple[SceneFile, ...], tuple[str, ...]]:
    """Scenes of the keys that both have, and a message for every file whose key the other lacks."""
    files = tuple(SceneFile(key, images[key], labels[key]) for key in sorted(images.keys() & labels.keys()))
    lonely = [f"{images[key]}: has no label map" for key in sorted(images.keys() - labels.keys())]
    lonely += [f"{labels[key]}: has no image" for key in sorted(labels.keys() - images.keys())]
    return files, tuple(lonely)


def id_table(classes: Mapping[int, int], size: int = 256) -> IdTable:
    """The table that maps the label values `classes` has, and no others; `size` is 65536 for 16-bit label maps."""
    table = np.full(size, -1, np.int16)
    for value, class_id in classes.items():
        table[value] = class_id
    return table


def ids_reader(table: IdTable) -> LabelReader:
    """The reader of label maps whose pixels are numbers, which `table` turns into class ids."""
    return partial(_read_ids, table)


def _read_ids(table: IdTable, file: SceneFile) -> NDArray[np.uint8]:
    return map_ids(label_values(file.labels), table, str(file.labels))


def label_values(path: Path) -> NDArray[np.integer]:
    """The numbers of a label map's pixels, [H, W], in the type of the file.

    Raises:
        DataError: it cannot be read, or its pixels are no numbers (a colour image).
    """
    label_map = open_image(path)
    # Mode P is accepted for its indices: annotation tools write class ids with a display palette.
    if label_map.mode not in LABEL_MODES:
        raise DataError(f"{path}: mode {label_map.mode!r}, a label map must hold class ids (8 or 16 bits, one channel)")
    values = np.asarray(label_map)
    return values.astype(np.uint8) if values.dtype == bool else values


def map_ids(values: NDArray[np.integer], table: IdTable, source: str) -> NDArray[np.uint8]:
    """Class ids uint8 of label values.

    Raises:
        DataError: a value that the table does not map; names `source`, the values and what is allowed.
    """
    inside = bool(values.min() >= 0 and values.max() < len(table))
    ids: NDArray[np.int16] = table[values] if inside else np.full(values.shape, -1, np.int16)
    if ids.min() < 0:
        present = [int(value) for value in np.unique(values)]
        unknown = [value for value in present if not 0 <= value < len(table) or table[value] < 0]
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise DataError(f"{source}: label values {shown} are not allowed; allowed are {_ranges(table)}")
    return ids.astype(np.uint8)


def _ranges(table: IdTable) -> str:
    """The values a table maps, as `0 to 11, 255`."""
    values = np.flatnonzero(table >= 0)
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if len(run))


def read_scenes(source: SceneSource, height: int, width: int) -> Scenes:
    """All scenes of a source, centre-cropped to the aspect height:width and resized.

    Images are resized by Lanczos, label maps by nearest; at the size of the files nothing is resampled.

    Raises:
        DataError: there is no scene, a file lacks its counterpart or cannot be read, sizes do not agree within a pair,
            or a label value is not allowed; the message names the file.
    """
    require_matched(source)
    labels = np.empty((len(source.files), height, width), np.uint8)
    images = np.empty((len(source.files), height, width, 3), np.uint8)
    for index, (scene_labels, scene_image) in enumerate(iterate_scenes(source, height, width)):
        labels[index], images[index] = scene_labels, scene_image
    return Scenes(labels, images, source.label_space, [file.name for file in source.files])


def require_matched(source: SceneSource) -> None:
    """Raise a DataError unless there are scenes and every file has its counterpart."""
    if source.unmatched:
        more = f" (and {len(source.unmatched) - 1} more)" if len(source.unmatched) > 1 else ""
        raise DataError(f"{source.unmatched[0]}{more}; `semantic-palette data check` lists every problem")
    if not source.files:
        raise DataError("there is no scene: no image with a label map was found")


def iterate_scenes(
    source: SceneSource, height: int, width: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """labels uint8 [H, W] and image uint8 [H, W, 3] of every scene in order; raises as `read_scenes`."""
    workers = min(8, os.cpu_count() or 1)
    # Decoding releases the interpreter's lock. A chunk at a time bounds what waits to be taken.
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(source.files), 8 * workers):
            chunk = source.files[first : first + 8 * workers]
            yield from pool.map(lambda file: read_scene(source, file, height, width), chunk)


def read_scene(
    source: SceneSource, file: SceneFile, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """labels uint8 [H, W] and image uint8 [H, W, 3] of one scene; raises as `read_scenes`."""
    label_map, image = Image.fromarray(source.read_labels(file)), read_image(file.image)
    require_sizes(label_map.size, image.size, file, source.same_size)
    size, nearest, lanczos = (width, height), Image.Resampling.NEAREST, Image.Resampling.LANCZOS
    labels = label_map.resize(size, nearest, centre_box(label_map.size, height, width))
    resized = image.resize(size, lanczos, centre_box(image.size, height, width))
    return np.asarray(labels), np.asarray(resized)


def read_image(path: Path) -> Image.Image:
    """An image as RGB, turned as its camera says. Raises a DataError that names the file."""
    image = open_image(path, upright=True)
    if image.mode not in _IMAGE_MODES:
        raise DataError(f"{path}: mode {image.mode!r}, an image must have 8 bits a channel")
    return image.convert("RGB")


def open_image(path: Path, *, upright: bool = False) -> Image.Image:
    """A decoded image in the mode of its file, perhaps turned as its camera says. Raises a DataError that names it."""
    try:
        with Image.open(path) as image:
            image.load()
            turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1)) if upright else None
            return image if turn is None else image.transpose(turn)
    except Exception as error:
        # Decoders raise whatever they stumble on in a damaged file: struct.error, TypeError, SyntaxError, ...
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def require_sizes(labels: tuple[int, int], image: tuple[int, int], file: SceneFile, same_size: bool) -> None:
    """Raise a DataError when the sizes (width, height) of a label map and its image do not agree."""
    if same_size and labels != image:
        raise DataError(f"{file.labels}: size {labels} differs from {image} of {file.image}")
    if labels[0] * image[1] != labels[1] * image[0]:
        raise DataError(f"{file.labels}: the aspect of {labels} differs from that of {image} of {file.image}")


def centre_box(size: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """The largest centred rectangle of the aspect width:height, as (left, top, right, bottom) in pixels."""
    full_width, full_height = size
    box_width = min(full_width, round(full_height * width / height))
    box_height = min(full_height, round(full_width * height / width))
    left, top = (full_width - box_width) // 2, (full_height - box_height) // 2
    return left, top, left + box_width, top + box_height
