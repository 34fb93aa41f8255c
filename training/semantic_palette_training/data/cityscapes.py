"""Cityscapes in its official folder layout, and Cityscapes-25k.

    leftImg8bit/{train,val}/<city>/<city>_<seq>_<frame>_leftImg8bit.png
    gtFine/{train,val}/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png      or ..._gtFine_instanceIds.png
    leftImg8bit/train_extra/<city>/..._leftImg8bit.png                      with `extra`
    extraFine/train_extra/<city>/..._leftImg8bit.png                        with `extra`: label maps named as images

Label values become ids of the label space CITYSCAPES: 0 to 33 stay, and the license plate (-1, stored as 255 or 65535)
becomes 34. In instance maps, values above 999 are 1000 times an id, plus a count.

Cityscapes-25k adds the 19,998 scenes of `train_extra`, labelled by a segmenter (section 5 of the paper). The layout of
these label maps is that of the maps that the paper's code downloads, published with A. Tao et al., "Hierarchical
Multi-Scale Attention for Semantic Segmentation", 2020. They hold none but the 19 evaluated classes; the official coarse
annotation (gtCoarse) will not do, as it leaves large parts of a scene unlabelled.

M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016. Non-commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from semantic_palette.label_space import CITYSCAPES
from semantic_palette_training.data.scene_files import (
    IdTable,
    SceneFile,
    SceneSource,
    data_root,
    id_table,
    label_values,
    list_files,
    map_ids,
    pair_files,
)
from semantic_palette_training.data.scenes import DataError, Split

ExtraIds = Literal["labelIds", "trainIds"]


@dataclass(kw_only=True, slots=True)
class CityscapesData:
    """Cityscapes or, with `extra`, Cityscapes-25k, at one size."""

    name: Literal["cityscapes"] = "cityscapes"
    root: str | None = None
    """The folder that holds `gtFine/`. Default: `cityscapes` in, or itself, the folder `$SEMANTIC_PALETTE_DATA`."""
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""
    extra: bool = False
    """Whether the scenes of `train_extra` and their pseudo-labels are added to the training split."""
    extra_labels: str = "extraFine"
    """Folder of the pseudo-labels, in the root."""
    extra_ids: ExtraIds = "labelIds"
    """What the pseudo-labels' values are. The published maps hold label ids (7 is road); the raw predictions of most
    segmenters are train ids (0 is road). Reading one as the other is refused, since it gives unevaluated classes."""


_IMAGE, _LABELS, _INSTANCES = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
_LICENSE_PLATE = CITYSCAPES.id_of("license_plate")

_LABEL_IDS = {value: value for value in range(34)} | {255: _LICENSE_PLATE}
_LABEL_TABLE = id_table(_LABEL_IDS)
# Ids 24 to 33 are things. A group of them that could not be told apart has the id alone.
_INSTANCE_IDS = {value: value // 1000 for value in range(24_000, 34_000)}
_INSTANCE_TABLE = id_table(_LABEL_IDS | _INSTANCE_IDS | {65535: _LICENSE_PLATE}, 65536)
_EXTRA_TABLES: dict[ExtraIds, IdTable] = {
    # A segmenter gives evaluated classes; 0 and 255 are what it left open.
    "labelIds": id_table({value: value for value in CITYSCAPES.evaluated_ids} | {0: 0, 255: _LICENSE_PLATE}),
    "trainIds": id_table(dict(enumerate(CITYSCAPES.evaluated_ids)) | {255: _LICENSE_PLATE}),
}


def cityscapes_source(config: CityscapesData, split: Split) -> SceneSource:
    """The files of one split; scenes are named `<city>/<city>_<seq>_<frame>`.

    Raises:
        DataError: the data set, or a folder of the split, is not there, or the split is `test`, which has no labels.
    """
    if split == "test":
        raise DataError("Cityscapes publishes no labels of its test split; train and val are allowed")
    root = data_root(config.root, "cityscapes", "gtFine")
    images = list_files(root / "leftImg8bit" / split, _IMAGE)
    folder = root / "gtFine" / split
    labels = list_files(folder, _INSTANCES) | list_files(folder, _LABELS)
    extra_folder = root / config.extra_labels / "train_extra"
    if config.extra and split == "train":
        images |= list_files(root / "leftImg8bit" / "train_extra", _IMAGE)
        labels |= list_files(extra_folder, _IMAGE)
    files, unmatched = pair_files(images, labels)
    return SceneSource(files, CITYSCAPES, partial(_read, extra_folder, config.extra_ids), unmatched)


def _read(extra_folder: Path, extra_ids: ExtraIds, file: SceneFile) -> NDArray[np.uint8]:
    values = label_values(file.labels)
    if file.labels.is_relative_to(extra_folder):
        return map_ids(values, _EXTRA_TABLES[extra_ids], f"{file.labels} (data.extra_ids is {extra_ids})")
    instances = file.labels.name.endswith(_INSTANCES)
    return map_ids(values, _INSTANCE_TABLE if instances else _LABEL_TABLE, str(file.labels))
