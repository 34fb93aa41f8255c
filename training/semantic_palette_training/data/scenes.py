"""Scenes: label maps with their images.

Legend: N scenes, K classes, H and W pixels.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import SemanticPaletteError
from semantic_palette.label_space import LabelSpace
from semantic_palette.palette import histogram

Split = Literal["train", "val", "test"]


class DataError(SemanticPaletteError):
    """A data set on disk is not what it should be. The message names the file or folder."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Label maps and images of one split, in memory or memory-mapped (`prepared.py`).

    Attributes:
        labels: uint8 [N, H, W], class ids of `label_space`.
        images: uint8 [N, H, W, 3], RGB.
        label_space: what the ids mean.
        names: one name a scene, in the order of the arrays (video frames: in time order within a sequence).
        known_digest: what `digest()` would compute, where it is known of before; the ids were then checked as well.

    Raises:
        DataError: the arrays disagree in shape or type, there is no scene, or a label map holds an id that
            `label_space` does not have (the message names the scene).
    """

    labels: NDArray[np.uint8]
    images: NDArray[np.uint8]
    label_space: LabelSpace
    names: list[str]
    known_digest: str = ""

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8 or self.images.dtype != np.uint8:
            raise DataError(f"labels and images must be uint8, got {self.labels.dtype} and {self.images.dtype}")
        if self.labels.ndim != 3 or self.images.shape != (*self.labels.shape, 3):
            raise DataError(
                f"labels must be [N, H, W] and images [N, H, W, 3], got {self.labels.shape} and {self.images.shape}"
            )
        if not 0 < len(self.labels) == len(self.names):
            raise DataError(f"there must be a scene, and a name for each; got {len(self.labels)} and {len(self.names)}")
        if self.known_digest:
            return
        highest = self.labels.max(axis=(1, 2))
        for index in np.flatnonzero(highest >= self.label_space.num_classes):
            check_ids(self.labels[index], self.label_space, self.names[index])

    def __len__(self) -> int:
        return len(self.labels)

    def palettes(self) -> NDArray[np.float64]:
        """The class shares of every scene, float64 [N, K]; each row sums to 1."""
        return histogram(self.labels, self.label_space.num_classes)

    def digest(self) -> str:
        """Sha256 (hex) of labels, images, names and label space: the same digest means the same data."""
        if self.known_digest:
            return self.known_digest
        header = {"shape": self.labels.shape, "names": self.names, "label_space": self.label_space.to_json()}
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()


def check_ids(labels: NDArray[np.uint8], label_space: LabelSpace, source: str) -> None:
    """Raise a DataError that names `source` when `labels` holds ids outside `label_space`."""
    unknown = [int(i) for i in np.unique(labels) if i >= label_space.num_classes]
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise DataError(
            f"{source}: class ids {shown} are not in label space {label_space.name!r}, "
            f"which has 0 to {label_space.num_classes - 1}"
        )
