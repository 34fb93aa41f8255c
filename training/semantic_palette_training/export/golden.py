"""Golden samples: inputs and eager fp32 outputs that engines are checked against wherever a bundle is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.operations import Operation

GOLDEN_SIZE = 16
GOLDEN_SEED = 0
_MAX_OUTPUT_BYTES = 1 << 23
"""An operation whose output is larger has fewer samples: scores of 35 classes at 128x256 are 4.6 MB each."""


def golden_samples(operations: Mapping[str, Operation], source: InputSource) -> dict[str, NDArray[Any]]:
    """The arrays of golden.npz by `<operation>/<tensor>`, 16 samples of each operation, fewer where they are large.

    Args:
        operations: those of the bundle, by name.
        source: inputs of the seed `GOLDEN_SEED`.
    """
    arrays = {}
    for name, operation in operations.items():
        samples = range(_golden_size(operation))
        inputs = source.inputs(name, samples)
        if name == "style_encoder":
            # Not the images of a data set: its licence may not let a bundle pass them on.
            inputs["image"] = operations["image"].run(source.inputs("image", samples))
        for tensor, array in (*inputs.items(), (operation.output.name, operation.run(inputs))):
            arrays[f"{name}/{tensor}"] = array
    return arrays


def _golden_size(operation: Operation) -> int:
    spec = operation.output
    sample = int(np.prod(spec.shape[1:], dtype=np.int64)) * np.dtype(spec.dtype).itemsize  # type: ignore[arg-type]
    return int(min(GOLDEN_SIZE, max(2, _MAX_OUTPUT_BYTES // sample)))


def write_golden(samples: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write the arrays, without pickling."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(samples))
