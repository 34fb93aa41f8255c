"""Inputs that operations meet in use: what exported files are checked on, by the names of the tensors.

Shape suffixes: B batch, K classes, S style size, H and W pixels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.editing import Budget
from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.export.edits import natural_edits
from semantic_palette_training.export.operations import Operation

_NOISE_STAGES = {"layout": "layout", "layout_scores": "layout", "editor": "edit", "image": "image"}


class InputSource:
    """Batches of inputs for the operations of a bundle, keyed by a seed."""

    def __init__(
        self, operations: Mapping[str, Operation], palette_model: PaletteModel, scenes: Scenes, seed: int
    ) -> None:
        """Keep what inputs are drawn from.

        Args:
            operations: those of the bundle, by name.
            palette_model: source of the palettes of whole layouts.
            scenes: real scenes that were not trained on: layouts to edit and to draw, images to take styles from.
            seed: of palettes, noise, boxes and targets.
        """
        self._operations, self._palette_model, self._scenes, self._seed = operations, palette_model, scenes, seed

    def inputs(self, name: str, samples: range) -> dict[str, NDArray[Any]]:
        """Inputs of operation `name` in the order of its tensors.

        Layouts that are drawn as images are real ones; palettes of whole layouts are as the palette model samples them.

        Args:
            name: of the operation.
            samples: indices; a sample is the same in every batch, but for the looks that it borrows of others.
        """
        operation = self._operations[name]
        drawn = self._noise(operation, samples) | self._scene_inputs(name, samples)
        if name in ("layout", "layout_scores"):
            drawn["palette"] = self._palettes(samples)
        return {spec.name: drawn[spec.name] for spec in operation.inputs}

    def scene_rows(self, samples: range) -> list[int]:
        """A scene for each sample: spread over all of them, so that neighbours in a video stay apart."""
        count = len(self._scenes)
        step = max(1, count // 16)
        return [(index * step + index // 16) % count for index in samples]

    def _noise(self, operation: Operation, samples: range) -> dict[str, NDArray[Any]]:
        """The noise that serving gives these samples of this seed."""
        size = operation.latent_size()
        if not size:
            return {}
        stage = _NOISE_STAGES[operation.name]
        return {"z": np.stack([standard_normal(self._seed, index, stage, (size,)) for index in samples])}

    def _palettes(self, samples: range) -> NDArray[np.float32]:
        return self._palette_model.sample(self._seed, samples.start, len(samples)).palettes.astype(np.float32)

    def _scene_inputs(self, name: str, samples: range) -> dict[str, NDArray[Any]]:
        scenes, num_classes, rows = self._scenes, self._scenes.label_space.num_classes, self.scene_rows(samples)
        labels, images = (np.ascontiguousarray(array[rows]) for array in (scenes.labels, scenes.images))
        if name == "editor":
            budget = Budget.of(self._operations[name].attributes)
            chosen = dict(zip(samples, rows, strict=True))
            edits = natural_edits(scenes.labels, chosen, num_classes, budget, self._seed)
            return {"labels": edits.labels_BHW, "mask": edits.mask_BHW, "palette": edits.palette_BE}
        if name == "image" and "style_encoder" in self._operations:
            return {"labels": labels, "styles": self._styles(images, labels)}
        return {"labels": labels, "image": images}

    def _styles(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The styles of scenes; a class that one lacks borrows its look from the next that has it."""
        styles_BKS: NDArray[np.float32] = self._operations["style_encoder"].run({"image": images, "labels": labels})
        present_BK = class_presence(labels, styles_BKS.shape[1])
        for klass in range(styles_BKS.shape[1]):
            (having,) = np.nonzero(present_BK[:, klass])
            for index in np.flatnonzero(~present_BK[:, klass]) if len(having) else ():
                styles_BKS[index, klass] = styles_BKS[having[np.searchsorted(having, index) % len(having)], klass]
        return styles_BKS


def class_presence(labels_BHW: NDArray[np.uint8], num_classes: int) -> NDArray[np.bool_]:
    """Which classes each layout has, bool [B, K]."""
    return np.stack([np.bincount(labels.ravel(), minlength=num_classes) > 0 for labels in labels_BHW])
