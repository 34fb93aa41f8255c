"""What an engine is, and the checks that all engines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import ModelEntry, TensorSpec
from semantic_palette_services.runtime.errors import EngineLoadError


class Engine(Protocol):
    """A loaded model. Used by one thread at a time.

    Attributes:
        name: name of the library, such as "onnxruntime".
        version: version of the library.
        precision: arithmetic precision, such as "fp32" or "bf16".
    """

    name: str
    version: str
    precision: str

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model on a batch.

        Args:
            inputs: arrays by name, with names, dtypes and shapes as in the manifest, batch axis first.

        Returns:
            New arrays by output name; the engine keeps no reference to them.

        Raises:
            InvalidInputError: an input is missing, unknown, or of the wrong dtype or shape.
            EngineDiedError: the engine is beyond repair.
        """

    def close(self) -> None:
        """Free what the engine holds; it cannot run afterwards. May be called twice."""


class EngineFactory(Protocol):
    """Loads a model file; what the registry lists."""

    def __call__(self, path: Path, entry: ModelEntry, threads: int) -> Engine:
        """Load ``path``, described by ``entry``, to compute with ``threads`` threads (0 for one a core).

        Raises:
            EngineLoadError: the file is not a model, or not the one that ``entry`` describes.
        """


def check_batch(specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]) -> int:
    """Check inputs against a manifest; returns the batch size.

    Raises:
        InvalidInputError: naming the input, and what the manifest wants.
    """
    check_names(specs, inputs)
    sizes: dict[str, int] = {}
    for spec in specs:
        array = inputs[spec.name]
        _check_array(spec, array, spec.shape, array.shape)
        sizes[spec.name] = array.shape[0]
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise InvalidInputError("batch size", sizes, "every input must have the same batch size, at least 1")
    return next(iter(sizes.values()))


def check_sample(specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]) -> None:
    """Check the inputs of one sample, which have no batch axis, against a manifest.

    Raises:
        InvalidInputError: naming the input, and what the manifest wants.
    """
    check_names(specs, inputs)
    for spec in specs:
        _check_array(spec, inputs[spec.name], spec.shape[1:], inputs[spec.name].shape)


def blank_batch(specs: Sequence[TensorSpec], size: int = 1) -> dict[str, NDArray[Any]]:
    """Inputs of ``size`` samples, all zeros, with a batch axis; other free axes have length 1."""
    shapes = {spec.name: [1 if isinstance(axis, str) else axis for axis in spec.shape[1:]] for spec in specs}
    return {spec.name: np.zeros([size, *shapes[spec.name]], spec.dtype) for spec in specs}


def check_names(specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]) -> None:
    """Check that exactly the inputs of the manifest are there.

    Raises:
        InvalidInputError: naming those given and those wanted.
    """
    wanted = [spec.name for spec in specs]
    if sorted(inputs) != sorted(wanted):
        raise InvalidInputError("inputs", sorted(inputs), f"the model takes {', '.join(sorted(wanted))}")


def check_model(engine: str, path: Path, entry: ModelEntry, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Check that a loaded file has the inputs and outputs that the manifest says.

    Raises:
        EngineLoadError: naming what differs.
    """
    for kind, found, specs in (("inputs", inputs, entry.inputs), ("outputs", outputs, entry.outputs)):
        wanted = [spec.name for spec in specs]
        if sorted(found) != sorted(wanted):
            raise EngineLoadError(engine, str(path), f"{kind} are {sorted(found)}, the manifest says {sorted(wanted)}")


def _check_array(spec: TensorSpec, array: NDArray[Any], shape: Sequence[int | str], found: tuple[int, ...]) -> None:
    if array.dtype != np.dtype(spec.dtype):
        raise InvalidInputError(spec.name, str(array.dtype), f"dtype must be {spec.dtype}")
    fits = len(found) == len(shape) and all(isinstance(w, str) or w == f for w, f in zip(shape, found, strict=True))
    if not fits:
        raise InvalidInputError(spec.name, list(found), f"shape must be {list(shape)}")
