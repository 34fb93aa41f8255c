"""Any folder of images and label maps, with a label space of one's own (docs/own_dataset.md).

    ROOT/train/images/**  ROOT/train/labels/**  ROOT/val/images/**  ROOT/val/labels/**    split by folders, or
    ROOT/images/train/**  ROOT/labels/train/**  ROOT/images/val/**  ROOT/labels/val/**    so, or
    ROOT/images/**        ROOT/labels/**                                                  a share is held out
    ROOT/label_space.json                                                                 (`folder_labels.py`)

A label map has its image's path and name, another ending, and maybe a suffix such as `_mask`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from semantic_palette.errors import InvalidInputError
from semantic_palette.label_space import LabelSpace
from semantic_palette_training.data.folder_labels import load_folder_labels
from semantic_palette_training.data.heldout import HeldOutBy, held_out
from semantic_palette_training.data.scene_files import SceneFile, SceneSource, pair_files, visible_files
from semantic_palette_training.data.scenes import DataError, Split

LABEL_SPACE_FILE = "label_space.json"
#: What may follow an image's name in the name of its label map.
LABEL_SUFFIXES = ("", "_mask", "_masks", "_label", "_labels", "_labelIds", "_labelTrainIds", "_seg", "_gt")

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_LABEL_ENDINGS = (".png", ".bmp", ".tif", ".tiff")
_SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(kw_only=True, slots=True)
class FolderData:
    """A folder of images and label maps, at one size."""

    name: Literal["folder"] = "folder"
    root: str
    """The folder."""
    label_space: str | None = None
    """JSON file of the classes. Default: `label_space.json` in the folder."""
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""
    images: str = "images"
    """Name of the folders of images."""
    labels: str = "labels"
    """Name of the folders of label maps; the same as `images` where both lie side by side."""
    image_suffix: str = ""
    """End of the names of images that is no part of the scene's name, such as `_leftImg8bit`; others are ignored."""
    label_suffix: str | None = None
    """End of the names of label maps; others are ignored. Default: none, or any of `LABEL_SUFFIXES`."""
    heldout: float = 0.1
    """Share of the scenes that makes the validation split where no folder does, between 0 and 1."""
    heldout_by: HeldOutBy = "runs"
    """`runs` holds out neighbouring names together (frames of videos); `hash` each name by itself."""


def folder_label_space(config: FolderData) -> LabelSpace:
    """The label space of the folder; raises InvalidInputError as `load_folder_labels`."""
    return load_folder_labels(_label_space_path(config)).space


def folder_source(config: FolderData, split: Split) -> SceneSource:
    """The files of one split.

    Raises:
        InvalidInputError: the label space cannot be read, or a field of the config is not allowed.
        DataError: a folder is missing, or there is no such split.
    """
    labels = load_folder_labels(_label_space_path(config))
    files, unmatched = folder_files(config, split)
    return SceneSource(files, labels.space, labels.reader(), unmatched, meaning=(_label_space_path(config),))


def folder_files(config: FolderData, split: Split) -> tuple[tuple[SceneFile, ...], tuple[str, ...]]:
    """The scenes of one split, and a message for every file without a counterpart; raises as `folder_source`."""
    if not 0 < config.heldout < 1:
        raise InvalidInputError("data.heldout", config.heldout, "a share above 0 and below 1 is expected")
    own, val = _split_folders(config, split), _split_folders(config, "val")
    if own is not None and (val is not None or split == "test"):
        return _pairs(config, *own)
    if split == "test" or val is not None:
        there = "" if val is None else f", though there is {val[0]}"
        raise DataError(f"{config.root}: no folders of the split {split!r}{there}")
    # Without a folder to validate on, the training scenes give a share of theirs.
    files, unmatched = _pairs(config, *(_split_folders(config, "train") or _whole(config)))
    flags = held_out([file.name for file in files], config.heldout, config.heldout_by)
    return tuple(file for file, flag in zip(files, flags, strict=True) if flag == (split == "val")), unmatched


def _label_space_path(config: FolderData) -> Path:
    return Path(config.root, LABEL_SPACE_FILE) if config.label_space is None else Path(config.label_space)


def _split_folders(config: FolderData, split: Split) -> tuple[Path, Path] | None:
    """The folders of images and label maps of a split, if the data set has them."""
    root = Path(config.root)
    for name in _SPLIT_FOLDERS[split]:
        for images, labels in (
            (root / name / config.images, root / name / config.labels),
            (root / config.images / name, root / config.labels / name),
        ):
            if images.is_dir() and labels.is_dir():
                return images, labels
    return None


def _whole(config: FolderData) -> tuple[Path, Path]:
    """The folders of a data set without splits."""
    root = Path(config.root)
    for folder in (root / config.images, root / config.labels):
        if not folder.is_dir():
            there = ", ".join(sorted(f"{path.name}/" for path in root.glob("*/"))[:10]) or "no folder"
            raise DataError(
                f"{folder}: no such folder ({root} has {there}); put images and label maps into "
                f"{config.images}/ and {config.labels}/ (below train/ and val/ where there are splits), "
                "or name the folders by data.images and data.labels"
            )
    return root / config.images, root / config.labels


def _pairs(config: FolderData, images_dir: Path, labels_dir: Path) -> tuple[tuple[SceneFile, ...], tuple[str, ...]]:
    """Scenes by what images and label maps have in common: the path in their folder, without suffix and ending."""
    suffixes = LABEL_SUFFIXES if config.label_suffix is None else (config.label_suffix,)
    together = images_dir == labels_dir
    # Side by side, nothing but a suffix tells a label map from an image.
    marks = tuple(suffix for suffix in suffixes if suffix or not together)
    label_files = {path: key for path, key in _keys(labels_dir) if key.endswith(marks)}
    problems: list[str] = []
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for path, key in _keys(images_dir):
        if key.endswith(config.image_suffix) and not (together and path in label_files):
            _add(images, key.removesuffix(config.image_suffix), path, problems)
    for path, key in label_files.items():
        if path.suffix.lower() not in _LABEL_ENDINGS:
            problems.append(f"{path}: a label map must be a PNG (or BMP, TIFF), which keep every value")
            continue
        bases = [key.removesuffix(mark) for mark in marks if key.endswith(mark)]
        _add(labels, next((base for base in bases if base in images), bases[0]), path, problems)
    files, unmatched = pair_files(images, labels)
    return files, (*problems, *unmatched)


def _keys(folder: Path) -> Iterator[tuple[Path, str]]:
    """Images of any kind below a folder, with their paths in it, without the ending."""
    for path in visible_files(folder):
        if path.suffix.lower() in _IMAGE_ENDINGS:
            yield path, path.relative_to(folder).with_suffix("").as_posix()


def _add(found: dict[str, Path], key: str, path: Path, problems: list[str]) -> None:
    if key in found:
        problems.append(f"{path}: makes the same scene as {found[key]}")
    else:
        found[key] = path
