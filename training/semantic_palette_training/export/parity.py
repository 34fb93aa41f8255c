"""Whether exported files do what the trained networks do, on every engine at hand, at several batch sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.parity import THRESHOLDS, Metrics, broken, measure, worst
from semantic_palette_training.export.engines import Engine, engines
from semantic_palette_training.export.errors import ParityError
from semantic_palette_training.export.inputs import InputSource
from semantic_palette_training.export.operations import Operation

BATCH_SIZES = (1, 2, 5)
#: Not the golden seed, so that a bundle is checked on more than the samples that it carries.
PARITY_SEED = 1

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """One batch: inputs by name, in the order of the operation's tensors, and the eager output."""

    inputs: Arrays
    expected: NDArray[Any]


def parity_cases(operations: Mapping[str, Operation], source: InputSource) -> dict[str, list[Case]]:
    """Batches of every size in `BATCH_SIZES` with eager outputs, by operation.

    Images are made from layouts that the bundle has generated or edited, where it does such things, so that operations
    are checked on what they meet in use. The last palette of a batch of layouts has its smallest share set to 0: a
    class that must not appear.

    Args:
        operations: those of the bundle, by name.
        source: inputs of the seed `PARITY_SEED`.
    """
    cases: dict[str, list[Case]] = {name: [] for name in operations}
    first = 0
    for size in BATCH_SIZES:
        samples = range(first, first + size)
        for name, operation in operations.items():
            inputs = source.inputs(name, samples)
            if name in ("layout", "layout_scores"):
                inputs["palette"] = _forbid_smallest(inputs["palette"])
            maker = next((other for other in ("layout", "editor") if name == "image" and cases.get(other)), None)
            if maker:
                inputs["labels"] = cases[maker][-1].expected
            cases[name].append(Case(inputs, operation.run(inputs)))
        first += size
    return cases


def check_parity(
    root: Path, operations: Mapping[str, Operation], cases: Mapping[str, Sequence[Case]]
) -> dict[str, Any]:
    """Run every file on every engine and compare it with eager.

    Full precision must pass. A lower precision that does not is only reported: the file is right, and serving does not
    choose that precision on such a CPU.

    Args:
        root: folder of the files `<operation>.onnx` and `torchscript/<operation>.pt`.
        operations: those of the bundle, by name.
        cases: operation name to batches.

    Returns:
        The report for the manifest: thresholds, then metrics by operation and engine; the worst over the batches.

    Raises:
        ParityError: names every file, engine, metric and threshold that failed in full precision.
    """
    report: dict[str, dict[str, dict[str, Any]]] = {}
    failures: list[str] = []
    for name, operation in operations.items():
        onnx_file, torchscript_file = f"{name}.onnx", f"torchscript/{name}.pt"
        report[name] = {}
        try:
            for engine in engines(root / onnx_file, root / torchscript_file):
                metrics, unmet = _compare(operation, engine, cases[name])
                report[name][engine.name] = {**metrics, "passed": not unmet}
                if unmet and engine.full_precision:
                    file = torchscript_file if engine.name.startswith("torchscript") else onnx_file
                    failures.append(f"{file} on {engine.name}: {', '.join(unmet)}")
        except Exception as error:  # every engine has errors of its own
            reason = str(error).strip().rpartition("\n")[2]
            raise ParityError(
                f"{onnx_file} or {torchscript_file} cannot be run; no bundle is written: {reason}"
            ) from error
    if failures:
        raise ParityError("not the networks that were trained; no bundle is written: " + "; ".join(failures))
    return {"batch_sizes": list(BATCH_SIZES), "thresholds": THRESHOLDS, "operations": report}


def _compare(operation: Operation, engine: Engine, cases: Sequence[Case]) -> tuple[Metrics, list[str]]:
    """The worst metrics over the batches, and the limits that they do not meet."""
    try:
        metrics = worst(
            [
                measure(
                    operation.output.name, case.inputs, case.expected, engine.run(case.inputs), operation.attributes
                )
                for case in cases
            ]
        )
    except InvalidInputError as error:
        raise ParityError(f"{engine.name}: {error}") from error
    return metrics, broken(metrics, full_precision=engine.full_precision)


def _forbid_smallest(palettes_BK: NDArray[np.float32]) -> NDArray[np.float32]:
    palettes = palettes_BK.astype(np.float64)
    palettes[-1, np.argmin(palettes[-1])] = 0.0
    return np.asarray(palettes / palettes.sum(axis=1, keepdims=True), np.float32)
