"""Whether an engine reproduces the golden outputs of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.parity import Metrics, broken, measure, worst
from semantic_palette_services.runtime.golden import GoldenSamples
from semantic_palette_services.runtime.item_queue import Arrays


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How close an engine came.

    Attributes:
        passed: whether it is close enough to serve.
        reason: the figures, and the limits that are not met.
    """

    passed: bool
    reason: str


def compare(
    precision: str, golden: GoldenSamples, rows: Sequence[int], outputs: Arrays, attributes: Mapping[str, str]
) -> ParityReport:
    """Hold a model's outputs by an engine against the golden ones.

    Args:
        precision: precision of the engine.
        golden: the golden samples of the model.
        rows: which golden sample each row of the outputs belongs to.
        outputs: what the engine answered, batch axis first.
        attributes: the model's, in the manifest.
    """
    index = np.asarray(rows)
    inputs = {name: array[index] for name, array in golden.inputs.items()}
    metrics: Metrics = {}
    for name, expected in golden.outputs.items():
        try:
            metrics |= _measure(name, inputs, expected[index], _output(outputs, name), attributes)
        except InvalidInputError as error:
            return ParityReport(False, str(error))
    failures = broken(metrics, full_precision=precision == "fp32")
    figures = ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())
    return ParityReport(not failures, "; ".join(failures) or figures)


def _measure(
    name: str,
    inputs: Mapping[str, NDArray[Any]],
    expected: NDArray[Any],
    output: NDArray[Any],
    attributes: Mapping[str, str],
) -> Metrics:
    if name != "image" or len(output) != len(expected):
        return measure(name, inputs, expected, output, attributes)
    # What counts is the worst image, so they are compared one at a time: all at once they fill gigabytes.
    rows = (slice(row, row + 1) for row in range(len(output)))
    return worst([measure(name, inputs, expected[row], output[row], attributes) for row in rows])


def _output(outputs: Arrays, name: str) -> NDArray[Any]:
    """An output by name; of scores whose golden file keeps only the arg-max, that."""
    if name == "labels" and "scores" in outputs:
        return np.asarray(outputs["scores"].argmax(axis=1).astype(np.uint8))
    return outputs[name]
