"""Whether exported files do what the trained networks do, on every engine at hand, at several batch sizes.

Shape suffixes: B batch, K classes, H and W pixels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.palette import histogram, kl_divergence
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.export.engines import Engine, engines
from semantic_palette_training.export.errors import ParityError
from semantic_palette_training.export.golden import noise_rows
from semantic_palette_training.export.modules import Operation

BATCH_SIZES = (1, 2, 5)
#: Not the golden seed, so that a bundle is checked on more than the samples that it carries.
PARITY_SEED = 1

MIN_EQUAL_PIXELS = {True: 0.999, False: 0.99}
"""Least share of pixels with the eager class; by whether the engine computes in full precision."""
MAX_KL_CHANGE = 1e-3
"""Most change of the mean KL(requested || achieved) of a batch, in nats."""
MIN_PSNR = 35.0
"""Least peak signal-to-noise ratio of images, in dB."""
IDENTICAL_PSNR = 100.0
"""What is reported for identical images, whose ratio is infinite."""

Arrays = dict[str, NDArray[Any]]
Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """One batch: inputs by name, the palettes they were asked to meet, and the eager output."""

    inputs: Arrays
    palettes_BK: NDArray[np.float32]
    expected: NDArray[Any]


def parity_cases(operations: Sequence[Operation], palette_model: PaletteModel) -> dict[str, list[Case]]:
    """Random batches of every size in `BATCH_SIZES` with eager outputs, by operation.

    Images are made from the eager layouts, so that the three operations are checked on what they meet in use. The
    last palette of a batch has its smallest share set to 0: a class that must not appear.
    """
    by_name = {operation.name: operation for operation in operations}
    cases: dict[str, list[Case]] = {name: [] for name in by_name}
    first = 0
    for size in BATCH_SIZES:
        palettes = palette_model.sample(PARITY_SEED, first, size).palettes
        palettes[-1, np.argmin(palettes[-1])] = 0.0
        palettes_BK = (palettes / palettes.sum(axis=1, keepdims=True)).astype(np.float32)
        z_layout = noise_rows(by_name["layout"], PARITY_SEED, first + size)[first:]
        z_image = noise_rows(by_name["image"], PARITY_SEED, first + size)[first:]
        labels = by_name["layout"].run(z_layout, palettes_BK)
        inputs: dict[str, Arrays] = {
            "layout": {"z": z_layout, "palette": palettes_BK},
            "layout_scores": {"z": z_layout, "palette": palettes_BK},
            "image": {"labels": labels, "z": z_image},
        }
        for name, operation in by_name.items():
            cases[name].append(Case(inputs[name], palettes_BK, operation.run(*inputs[name].values())))
        first += size
    return cases


def check_parity(
    root: Path, files: Mapping[str, tuple[str, str]], cases: Mapping[str, Sequence[Case]]
) -> dict[str, Any]:
    """Run every file on every engine and compare it with eager.

    Full precision must pass. A lower precision that does not is only reported: the file is right, and serving does not
    choose that precision on such a CPU.

    Args:
        root: folder of the files.
        files: operation name to its ONNX and TorchScript file.
        cases: operation name to batches.

    Returns:
        The report for the manifest: thresholds, then metrics by operation and engine; the worst over the batches.

    Raises:
        ParityError: names every file, engine, metric and threshold that failed in full precision.
    """
    report: dict[str, dict[str, _Result]] = {}
    failures: list[str] = []
    for name, (onnx_file, torchscript_file) in files.items():
        try:
            report[name] = {
                engine.name: _compare(name, engine, cases[name])
                for engine in engines(root / onnx_file, root / torchscript_file)
            }
        except Exception as error:  # every engine has errors of its own
            reason = str(error).strip().rpartition("\n")[2]
            raise ParityError(
                f"{onnx_file} or {torchscript_file} cannot be run; no bundle is written: {reason}"
            ) from error
        for engine, result in report[name].items():
            if result.broken and result.full_precision:
                file = torchscript_file if engine.startswith("torchscript") else onnx_file
                failures.append(f"{file} on {engine}: {', '.join(result.broken)}")
    if failures:
        raise ParityError("not the networks that were trained; no bundle is written: " + "; ".join(failures))
    operations = {
        name: {engine: {**result.metrics, "passed": not result.broken} for engine, result in results.items()}
        for name, results in report.items()
    }
    return {"batch_sizes": list(BATCH_SIZES), "thresholds": _THRESHOLDS, "operations": operations}


@dataclass(frozen=True, slots=True)
class _Result:
    """How one file did on one engine."""

    metrics: Metrics
    broken: list[str]
    """Thresholds that are not met, in words."""
    full_precision: bool


def _compare(name: str, engine: Engine, cases: Sequence[Case]) -> _Result:
    metrics = _worst([_measure(name, engine, case) for case in cases])
    return _Result(metrics, _broken(metrics, engine.full_precision), engine.full_precision)


_THRESHOLDS = {
    "min_equal_pixels": MIN_EQUAL_PIXELS[True],
    "min_equal_pixels_lower_precision": MIN_EQUAL_PIXELS[False],
    "max_kl_change": MAX_KL_CHANGE,
    "min_psnr_db": MIN_PSNR,
}


def _measure(name: str, engine: Engine, case: Case) -> Metrics:
    output = engine.run(case.inputs)
    if output.shape != case.expected.shape or output.dtype != case.expected.dtype:
        found, expected = (f"{array.dtype} {list(array.shape)}" for array in (output, case.expected))
        raise ParityError(f"{engine.name} gives {found} instead of {expected}")
    return _MEASURES[name](case, output)


def _measure_labels(case: Case, labels_BHW: NDArray[Any], expected_BHW: NDArray[Any] | None = None) -> Metrics:
    expected_BHW = case.expected if expected_BHW is None else expected_BHW
    num_classes = case.palettes_BK.shape[1]
    achieved, wanted = histogram(labels_BHW, num_classes), histogram(expected_BHW, num_classes)
    change = kl_divergence(case.palettes_BK, achieved).mean() - kl_divergence(case.palettes_BK, wanted).mean()
    return {
        "equal_pixels": float(np.mean(labels_BHW == expected_BHW)),
        "kl_change": float(abs(change)),
        "forbidden_pixels": float(achieved[case.palettes_BK == 0].sum() * labels_BHW[0].size),
    }


def _measure_scores(case: Case, scores_BKHW: NDArray[Any]) -> Metrics:
    labels, expected = (scores.argmax(axis=1).astype(np.uint8) for scores in (scores_BKHW, case.expected))
    allowed = np.broadcast_to((case.palettes_BK > 0)[:, :, None, None], scores_BKHW.shape)
    error = np.abs(scores_BKHW[allowed].astype(np.float64) - case.expected[allowed]).max()
    return _measure_labels(case, labels, expected) | {"max_error": float(error)}


def _measure_image(case: Case, image_BHW3: NDArray[Any]) -> Metrics:
    error = image_BHW3.astype(np.float64) - case.expected
    mean_square = np.square(error).mean(axis=(1, 2, 3)).max()
    psnr = 10.0 * np.log10(255.0**2 / mean_square) if mean_square > 0 else IDENTICAL_PSNR
    return {"psnr_db": float(min(psnr, IDENTICAL_PSNR)), "max_error": float(np.abs(error).max())}


_MEASURES: dict[str, Callable[[Case, NDArray[Any]], Metrics]] = {
    "layout": _measure_labels,
    "layout_scores": _measure_scores,
    "image": _measure_image,
}


def _worst(measured: Sequence[Metrics]) -> Metrics:
    """Each metric's worst value: the least where more is better, else the most."""
    return {
        key: (min if key in ("equal_pixels", "psnr_db") else max)(metrics[key] for metrics in measured)
        for key in measured[0]
    }


def _broken(metrics: Metrics, full_precision: bool) -> list[str]:
    """The thresholds that are not met, in words. Written so that NaN fails."""
    limits: Iterable[tuple[str, str, float]] = (
        ("equal_pixels", "at least", MIN_EQUAL_PIXELS[full_precision]),
        ("kl_change", "below", MAX_KL_CHANGE),
        ("forbidden_pixels", "below", 0.5),
        ("psnr_db", "at least", MIN_PSNR),
    )
    return [
        f"{key} is {metrics[key]:.6g}, {word} {limit:g} is needed"
        for key, word, limit in limits
        if key in metrics and not (metrics[key] >= limit if word == "at least" else metrics[key] < limit)
    ]
