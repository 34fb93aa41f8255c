"""CamVid in the folder layout of the SegNet tutorial, at any size.

    camvid/train/*.png  camvid/trainannot/*.png  camvid/val/*.png  camvid/valannot/*.png  [camvid/test ...]

Images are RGB, label maps 8-bit class ids 0-11 of the label space CAMVID, and a pair shares its file name.
G. J. Brostow, J. Fauqueur, R. Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009.
The data is CC BY-NC 4.0: personal and research use.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from semantic_palette.label_space import CAMVID
from semantic_palette_training.data.scenes import DataError, Scenes, Split, check_ids

DATA_VARIABLE = "SEMANTIC_PALETTE_DATA"


def camvid_root(root: str | None = None) -> Path:
    """The folder that holds `train/`: `root` or `$SEMANTIC_PALETTE_DATA`, or the folder `camvid` inside it.

    Raises:
        DataError: neither is given, or no such folder is there; the message says where it looked.
    """
    given = root if root is not None else os.environ.get(DATA_VARIABLE)
    if not given:
        raise DataError(f"CamVid is not found: set data.root, or {DATA_VARIABLE} to the folder that contains camvid/")
    candidates = (Path(given), Path(given, "camvid"))
    for candidate in candidates:
        if (candidate / "train").is_dir():
            return candidate
    raise DataError(f"CamVid is not found: no folder train/ in {candidates[0]} or {candidates[1]}")


def camvid(root: Path, split: Split, height: int, width: int) -> Scenes:
    """The scenes of one split, centre-cropped to the aspect height:width and resized.

    Images are resized by Lanczos, label maps by nearest; at the size of the files nothing is resampled. Scenes are in
    the order of their file names, which is the order of time within each video sequence.

    Raises:
        DataError: a folder is missing or empty, an image lacks its label map or the other way round, a file cannot be
            read, sizes differ within a pair, or a label map holds ids above 11; the message names the file.
    """
    images_dir, labels_dir = root / split, root / f"{split}annot"
    names = _paired_names(images_dir, labels_dir)
    labels = np.empty((len(names), height, width), np.uint8)
    images = np.empty((len(names), height, width, 3), np.uint8)
    for index, name in enumerate(names):
        labels[index], images[index] = _read_pair(labels_dir / name, images_dir / name, height, width)
    return Scenes(labels, images, CAMVID, [Path(name).stem for name in names])


def _paired_names(images_dir: Path, labels_dir: Path) -> list[str]:
    for folder in (images_dir, labels_dir):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    with_image, with_labels = ({path.name for path in folder.glob("*.png")} for folder in (images_dir, labels_dir))
    for name in sorted(with_image ^ with_labels):
        present, missing = (images_dir, labels_dir) if name in with_image else (labels_dir, images_dir)
        raise DataError(f"{present / name}: has no counterpart {missing / name}")
    if not with_image:
        raise DataError(f"{images_dir}: no PNG files")
    return sorted(with_image)


def _read_pair(
    labels_path: Path, image_path: Path, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """labels uint8 [H, W] and image uint8 [H, W, 3] of one scene."""
    label_map, image = _open(labels_path), _open(image_path)
    # Mode P is accepted for its indices: annotation tools write class ids with a display palette.
    if label_map.mode not in ("L", "P"):
        raise DataError(f"{labels_path}: mode {label_map.mode!r}, a label map must be 8-bit class ids (L or P)")
    if label_map.size != image.size:
        raise DataError(f"{labels_path}: size {label_map.size} differs from {image.size} of {image_path}")
    check_ids(np.asarray(label_map), CAMVID, str(labels_path))
    box = _centre_box(image.size, height, width)
    labels = label_map.resize((width, height), Image.Resampling.NEAREST, box)
    resized = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, box)
    return np.asarray(labels), np.asarray(resized)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def _centre_box(size: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """The largest centred rectangle of the aspect width:height, as (left, top, right, bottom) in pixels."""
    full_width, full_height = size
    box_width = min(full_width, round(full_height * width / height))
    box_height = min(full_height, round(full_width * height / width))
    left, top = (full_width - box_width) // 2, (full_height - box_height) // 2
    return left, top, left + box_width, top + box_height
