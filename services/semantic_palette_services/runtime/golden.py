"""Golden outputs of a bundle: what its models answered, in eager single precision, when it was exported."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import BundleError
from semantic_palette.manifest import Manifest, ModelEntry
from semantic_palette_services.runtime.item_queue import Arrays

# What bundles of schema 1 call the arrays. Of scores they keep the arg-max, which is that of the layout model.
_SCHEMA_1: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "layout": ({"z": "z_layout", "palette": "palettes"}, {"labels": "labels"}),
    "layout_scores": ({"z": "z_layout", "palette": "palettes"}, {"labels": "labels"}),
    "image": ({"labels": "layouts", "z": "z_image"}, {"image": "images"}),
}


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSamples:
    """Inputs of a model, by name, and what it answered: arrays with N samples each."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))


class Golden:
    """The arrays of ``golden.npz``, by operation.

    Args:
        operations: samples by operation.
    """

    def __init__(self, operations: Mapping[str, GoldenSamples]) -> None:
        self._operations = dict(operations)

    def __getitem__(self, operation: str) -> GoldenSamples:
        return self._operations[operation]

    @classmethod
    def load(cls, path: Path, manifest: Manifest, operations: Collection[str] | None = None) -> Golden:
        """Read the samples of some models of a manifest (default: of all); nothing in the file is unpickled.

        Raises:
            BundleError: the file cannot be read, lacks an array, or the arrays of a model have different numbers of
                samples.
        """
        found: dict[str, GoldenSamples] = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                for operation in manifest.models if operations is None else operations:
                    inputs, outputs = _keys(operation, manifest.models[operation], manifest.schema_version)
                    found[operation] = GoldenSamples(_read(file, inputs), _read(file, outputs))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(f"{path}: cannot be read as golden outputs: {error}") from error
        for operation, samples in found.items():
            counts = {name: len(array) for name, array in (samples.inputs | samples.outputs).items()}
            if len(set(counts.values())) != 1 or 0 in counts.values():
                raise BundleError(
                    f"{path}: arrays of {operation} must have the same number of samples, at least 1, not {counts}"
                )
        return cls(found)


def _keys(operation: str, entry: ModelEntry, schema: int) -> tuple[dict[str, str], dict[str, str]]:
    """What the file calls the inputs and the outputs of a model."""
    if schema == 1 and operation in _SCHEMA_1:
        return _SCHEMA_1[operation]
    inputs, outputs = ({spec.name: f"{operation}/{spec.name}" for spec in s} for s in (entry.inputs, entry.outputs))
    return inputs, outputs


def _read(file: Arrays, keys: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    return {name: file[key] for name, key in keys.items()}
