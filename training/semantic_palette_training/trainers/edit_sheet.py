"""A picture of what the editor makes (Figure 9).

Legend: B scenes, E = K + 1 classes with the background last, H and W pixels.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from semantic_palette.label_space import LabelSpace
from semantic_palette.layout import colourise
from semantic_palette_training.models.editor import EditorOutput
from semantic_palette_training.trainers.edit_batches import EditBatch

SHEET_ROWS = 6
_GREY = 128


def edit_sheet(batch: EditBatch, output: EditorOutput, label_space: LabelSpace, scale: int) -> NDArray[np.uint8]:
    """Rows of input layout, emptied layout, generated layout and merged layout; grey is what has no class.

    Args:
        batch: what was edited.
        output: what the editor made of it, at the resolution of the batch.
        label_space: for the colours.
        scale: how many pixels of the picture a pixel of the layouts takes, along each axis.

    Returns:
        uint8 [B * H * scale, 4 * W * scale, 3].
    """
    background = label_space.num_classes
    columns = [
        batch.labels_BHW,
        batch.labels_BHW.long().masked_fill(batch.region_BHW, background),
        output.generated.soft_BKHW.argmax(dim=1),
        output.merged_BKHW.argmax(dim=1),
    ]
    picture = np.concatenate([_coloured(ids_BHW, label_space) for ids_BHW in columns], axis=2)
    picture = picture.repeat(scale, axis=1).repeat(scale, axis=2)
    return np.ascontiguousarray(picture.reshape(-1, *picture.shape[2:]))


def _coloured(ids_BHW: Tensor, label_space: LabelSpace) -> NDArray[np.uint8]:
    ids = ids_BHW.cpu().numpy()
    classless = ids == label_space.num_classes
    picture = colourise(np.where(classless, 0, ids).astype(np.uint8), label_space)
    picture[classless] = _GREY
    return picture
