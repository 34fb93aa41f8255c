"""CamVid in the folder layout of the SegNet tutorial, at any size.

    camvid/train/*.png  camvid/trainannot/*.png  camvid/val/*.png  camvid/valannot/*.png  [camvid/test ...]

Images are RGB, label maps 8-bit class ids 0-11 of the label space CAMVID, and a pair shares its file name.
G. J. Brostow, J. Fauqueur, R. Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009.
The data is CC BY-NC 4.0: personal and research use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semantic_palette.label_space import CAMVID
from semantic_palette_training.data.scene_files import (
    SceneSource,
    data_root,
    id_table,
    ids_reader,
    list_files,
    pair_files,
)
from semantic_palette_training.data.scenes import Split


@dataclass(kw_only=True, slots=True)
class CamvidData:
    """CamVid, at one size."""

    name: Literal["camvid"] = "camvid"
    root: str | None = None
    """The folder that holds `train/`. Default: `camvid` in, or itself, the folder `$SEMANTIC_PALETTE_DATA`."""
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""


def camvid_source(config: CamvidData, split: Split) -> SceneSource:
    """The files of one split.

    Raises:
        DataError: the data set, or a folder of the split, is not there.
    """
    root = data_root(config.root, "camvid", "train")
    images, labels = list_files(root / split, ".png"), list_files(root / f"{split}annot", ".png")
    files, unmatched = pair_files(images, labels)
    return SceneSource(files, CAMVID, ids_reader(id_table({i: i for i in range(CAMVID.num_classes)})), unmatched)
