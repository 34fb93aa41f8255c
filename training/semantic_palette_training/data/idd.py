"""The India Driving Dataset (segmentation) in its official folder layout.

    leftImg8bit/{train,val}/<drive>/<frame>_leftImg8bit.png     or .jpg, as in the second part of the data set
    gtFine/{train,val}/<drive>/<frame>_gtFine_labelids.png

The data set comes with polygons; the AutoNUE tools draw the label maps from them (createLabels.py with --id-type id).
Their values are the ids of the label space IDD, 0 to 39; 255 is taken as unlabeled. Maps of the coarser levels that
the tools also draw (..._labellevel3Ids.png) merge classes, so they cannot be read instead.

Frames are mostly of 16:9 (1080 or 720 rows) and cropped at the centre to the aspect of the config. A label map may have
another size than its image, as the paper's code keeps label maps at 720 rows.

G. Varma et al., "IDD: A Dataset for Exploring Problems of Autonomous Navigation in Unconstrained Environments", WACV
2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semantic_palette.label_space import IDD
from semantic_palette_training.data.scene_files import (
    SceneSource,
    data_root,
    id_table,
    ids_reader,
    list_files,
    pair_files,
)
from semantic_palette_training.data.scenes import DataError, Split


@dataclass(kw_only=True, slots=True)
class IddData:
    """The India Driving Dataset, at one size."""

    name: Literal["idd"] = "idd"
    root: str | None = None
    """The folder that holds `gtFine/`. Default: `idd` in, or itself, the folder `$SEMANTIC_PALETTE_DATA`."""
    height: int = 128
    """Rows of a scene, in pixels."""
    width: int = 256
    """Columns of a scene, in pixels."""


_LABELS = "_gtFine_labelids.png"
_TABLE = id_table({value: value for value in range(IDD.num_classes)} | {255: IDD.id_of("unlabeled")})


def idd_source(config: IddData, split: Split) -> SceneSource:
    """The files of one split; scenes are named `<drive>/<frame>`.

    Raises:
        DataError: the data set, a folder of the split, or every label map is missing, or the split is `test`, which has
            no labels.
    """
    if split == "test":
        raise DataError("IDD publishes no labels of its test split; train and val are allowed")
    root = data_root(config.root, "idd", "gtFine")
    images = list_files(root / "leftImg8bit" / split, "_leftImg8bit.png", "_leftImg8bit.jpg")
    labels = list_files(root / "gtFine" / split, _LABELS)
    if not labels:
        raise DataError(
            f"{root / 'gtFine' / split}: no label map *{_LABELS}; "
            "the AutoNUE tools draw them from the polygons by createLabels.py with --id-type id"
        )
    files, unmatched = pair_files(images, labels)
    return SceneSource(files, IDD, ids_reader(_TABLE), unmatched, same_size=False)
