"""CelebAMask-HQ in its official folder layout.

    CelebA-HQ-img/<index>.jpg                                    faces, index 0 to 29999, 1024 x 1024
    CelebAMask-HQ-mask-anno/<0-14>/<index, 5 digits>_<part>.png  a mask a visible part, not 0 where it is, 512 x 512
    CelebA-HQ-to-CelebA-mapping.txt                              a header, then a line a face: `0 119613 119614.jpg`

The masks of a face are painted over each other in the order of the ids of the label space CELEBAMASK_HQ, so that hair
covers skin and a hat hair; what no mask covers is background.

The data set has no list of its splits. As in its own tools, a face belongs to the split that its original has in CelebA
(Z. Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015), by the number in the original's name: to 162770
training, to 182637 validation, then test. The paper's code trains on all 30,000 faces; here some stay unseen.

C.-H. Lee et al., "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation", CVPR 2020. Non-commercial
research.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from semantic_palette.label_space import CELEBAMASK_HQ
from semantic_palette_training.data.scene_files import SceneFile, SceneSource, data_root, list_files, open_image
from semantic_palette_training.data.scenes import DataError, Split


@dataclass(kw_only=True, slots=True)
class CelebAMaskData:
    """CelebAMask-HQ, at one size."""

    name: Literal["celebamask-hq"] = "celebamask-hq"
    root: str | None = None
    """The folder that holds `CelebA-HQ-img/`. Default: `celebamask-hq` in, or itself, `$SEMANTIC_PALETTE_DATA`."""
    height: int = 256
    """Rows of a scene, in pixels; the faces are square."""
    width: int = 256
    """Columns of a scene, in pixels."""


_IMAGES, _MASKS, _MAPPING = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebA-HQ-to-CelebA-mapping.txt"
_LAST_TRAIN, _LAST_VAL = 162_770, 182_637
_PARTS = {name: class_id for class_id, name in enumerate(CELEBAMASK_HQ.names) if class_id > 0}
_MASK_NAME = re.compile(r"(?:\d+/)?(\d{5})_(\w+)")
_MAPPING_LINE = re.compile(r"\s*(\d+)\s+\d+\s+(\d+)\.(?:jpg|png)\s*")


def celebamask_source(config: CelebAMaskData, split: Split) -> SceneSource:
    """The files of one split; scenes are named by their index, five digits.

    Raises:
        DataError: the data set, one of its folders, or the mapping to CelebA is not there or damaged.
    """
    root = data_root(config.root, "celebamask-hq", _IMAGES)
    splits = _splits(root / _MAPPING)
    images = {_index(key): path for key, path in list_files(root / _IMAGES, ".jpg").items()}
    masks, problems = _masks(root / _MASKS)
    files = []
    for name in sorted(images.keys() | masks.keys()):
        path = images.get(name) or masks[name][0]
        if name not in splits:
            problems.append(f"{path}: {_MAPPING} has no line for it")
        elif splits[name] != split:
            continue
        elif name not in masks or name not in images:
            problems.append(f"{path}: has no {'mask' if name in images else 'image'}")
        else:
            files.append(SceneFile(name, path, masks[name][0], tuple(masks[name][1:])))
    return SceneSource(tuple(files), CELEBAMASK_HQ, paint, tuple(problems), same_size=False)


def paint(file: SceneFile) -> NDArray[np.uint8]:
    """The label map of a face, uint8 [H, W]: its masks painted over each other in the order of `file`.

    Raises:
        DataError: a mask cannot be read or has another size than the others; the message names it.
    """
    labels: NDArray[np.uint8] | None = None
    for path in (file.labels, *file.parts):
        # Masks are stored as grey RGB images: each channel has the mask.
        mask = np.asarray(open_image(path).getchannel(0)) != 0
        if labels is None:
            labels = np.zeros(mask.shape, np.uint8)
        if mask.shape != labels.shape:
            raise DataError(f"{path}: size {mask.shape[::-1]} differs from {labels.shape[::-1]} of {file.labels}")
        labels[mask] = _part(path)
    assert labels is not None, "a scene has a mask"
    return labels


def _part(path: Path) -> int:
    """The class id of a mask."""
    return _PARTS[path.stem.split("_", 1)[1]]


def _index(key: str) -> str:
    """An image's index as masks have it, with five digits."""
    return key.zfill(5)


def _masks(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The masks of every face in the order of painting, and a message for every file that is no mask of a part."""
    masks: dict[str, list[Path]] = defaultdict(list)
    problems = []
    for key, path in list_files(folder, ".png").items():
        match = _MASK_NAME.fullmatch(key)
        if match is None or match[2] not in _PARTS:
            problems.append(f"{path}: is no mask; names are <5 digits>_<part>.png, the parts {', '.join(_PARTS)}")
        else:
            masks[match[1]].append(path)
    for paths in masks.values():
        paths.sort(key=_part)
    return masks, problems


def _splits(path: Path) -> dict[str, Split]:
    """The split of every face by its index."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); it comes with CelebAMask-HQ") from error
    splits: dict[str, Split] = {}
    for number, line in enumerate(lines[1:], start=2):
        match = _MAPPING_LINE.fullmatch(line)
        if match is None and line.strip():
            raise DataError(f"{path}, line {number}: {line[:80]!r}; `index number name.jpg` is expected")
        if match is not None:
            original = int(match[2])
            splits[_index(match[1])] = (
                "train" if original <= _LAST_TRAIN else "val" if original <= _LAST_VAL else "test"
            )
    return splits
