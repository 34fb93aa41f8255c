"""Whether an engine does what the trained network does: measures of outputs and the limits they are held against.

Exporting holds files against the eager network, serving holds engines against golden samples; both ask the same.

Legend: B batch, K classes, E = K + 1 (background last), H, W height and width, S style size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.palette import histogram, kl_divergence

Array: TypeAlias = NDArray[Any]
Metrics: TypeAlias = dict[str, float]

MIN_EQUAL_PIXELS = 0.999
"""Least share of pixels with the expected class in full precision, where only ties may fall otherwise."""
MIN_EQUAL_PIXELS_LOWER = 0.99
"""The same in a lower precision, which may move a few borders."""
MAX_KL_CHANGE = 1e-3
"""Most change of the mean KL(requested || achieved) of a batch, in nats: the proportions are the product."""
MIN_PSNR_DB = 35.0
"""Least peak signal-to-noise ratio of an image."""
IDENTICAL_PSNR_DB = 100.0
"""What is reported for identical images, whose ratio is infinite."""
MAX_STYLE_ERROR = 10.0 ** (-MIN_PSNR_DB / 20.0)
"""Largest error of a style code, as a share of the largest code of its sample: 1.8 %.

That is the share of the range by which an image at the limit of 35 dB is wrong on average. Codes reach the image
through the scales and offsets of normalisation, which are near linear in them, so that codes this close cannot use up
more than what images are granted. Rounding stays far below it in float32 (about 1e-5)."""

THRESHOLDS: dict[str, float] = {
    "min_equal_pixels": MIN_EQUAL_PIXELS,
    "min_equal_pixels_lower_precision": MIN_EQUAL_PIXELS_LOWER,
    "max_kl_change": MAX_KL_CHANGE,
    "min_psnr_db": MIN_PSNR_DB,
    "max_style_error": MAX_STYLE_ERROR,
}
"""The limits, by the names they have in manifests. No pixel of a forbidden class and none outside of an edit's mask
may ever differ."""

_HIGHER_IS_BETTER = ("equal_pixels", "psnr_db")


def measure(
    output_name: str,
    inputs: Mapping[str, Array],
    expected: Array,
    output: Array,
    attributes: Mapping[str, str] | None = None,
) -> Metrics:
    """Compare one batch of an engine's output with the expected one.

    What is measured follows from the name of the output in the manifest:

        labels   equal_pixels, kl_change, forbidden_pixels: of classes whose share is 0, where the expected output has
                 another class; inputs has palette float32 [B, K]
        scores   the same of their arg-max, and max_error of the scores that are allowed
        edited   the same as labels over the pixels that may change, and outside_pixels: changed though they may not;
                 inputs has labels and mask uint8 [B, H, W] and palette float32 [B, E]
        image    psnr_db, the worst of the batch, and max_error
        styles   style_error, relative to the largest code of the sample, and max_error

    Args:
        output_name: Name of the operation's output tensor.
        inputs: What the operation was given, by name.
        expected: What it should answer.
        output: What the engine answered.
        attributes: Those of the operation in the manifest; `budget` decides how an editor's palette is read.

    Raises:
        InvalidInputError: No measure is known for this output, or the output has another type or shape than expected.
    """
    if output_name not in _MEASURES:
        raise InvalidInputError("output_name", output_name, f"{', '.join(sorted(_MEASURES))} are")
    if output.shape != expected.shape or output.dtype != expected.dtype:
        found, wanted = (f"{array.dtype} {list(array.shape)}" for array in (output, expected))
        raise InvalidInputError(output_name, found, f"{wanted} is expected")
    return _MEASURES[output_name](inputs, expected, output, attributes or {})


def worst(measured: Sequence[Metrics]) -> Metrics:
    """Each metric's worst value over batches: the least where more is better, else the most."""
    return {
        key: (min if key in _HIGHER_IS_BETTER else max)(metrics[key] for metrics in measured) for key in measured[0]
    }


def broken(metrics: Metrics, *, full_precision: bool) -> list[str]:
    """The limits that are not met, in words; empty where the engine may serve. A metric that is NaN meets none."""
    limits = (
        ("equal_pixels", MIN_EQUAL_PIXELS if full_precision else MIN_EQUAL_PIXELS_LOWER),
        ("kl_change", MAX_KL_CHANGE),
        ("forbidden_pixels", 0.5),
        ("outside_pixels", 0.5),
        ("psnr_db", MIN_PSNR_DB),
        ("style_error", MAX_STYLE_ERROR),
    )
    failed = []
    for key, limit in limits:
        least = key in _HIGHER_IS_BETTER
        if key in metrics and not (metrics[key] >= limit if least else metrics[key] < limit):
            failed.append(f"{key} is {metrics[key]:.6g}, {'at least' if least else 'below'} {limit:g} is needed")
    return failed


def _measure_labels(
    inputs: Mapping[str, Array], expected_BHW: Array, labels_BHW: Array, attributes: Mapping[str, str]
) -> Metrics:
    palette_BK = inputs["palette"]
    # An id that is no class, which `histogram` refuses, can only be an engine's mistake.
    _check_ids(labels_BHW, palette_BK.shape[1])
    achieved_BK, wanted_BK = (histogram(labels, palette_BK.shape[1]) for labels in (labels_BHW, expected_BHW))
    return {
        "equal_pixels": float(np.mean(labels_BHW == expected_BHW)),
        "kl_change": _kl_change(palette_BK, achieved_BK, wanted_BK),
        "forbidden_pixels": _count_forbidden(palette_BK, labels_BHW, labels_BHW != expected_BHW),
    }


def _measure_scores(
    inputs: Mapping[str, Array], expected_BKHW: Array, scores_BKHW: Array, attributes: Mapping[str, str]
) -> Metrics:
    labels, expected = (scores.argmax(axis=1).astype(np.uint8) for scores in (scores_BKHW, expected_BKHW))
    allowed = np.broadcast_to((inputs["palette"] > 0)[:, :, None, None], scores_BKHW.shape)
    error = np.abs(scores_BKHW[allowed].astype(np.float64) - expected_BKHW[allowed]).max()
    return _measure_labels(inputs, expected, labels, attributes) | {"max_error": float(error)}


def _measure_edited(
    inputs: Mapping[str, Array], expected_BHW: Array, edited_BHW: Array, attributes: Mapping[str, str]
) -> Metrics:
    """As labels, within the mask. `kl_change` is of what the edit painted, against what it was asked to paint."""
    palette_BE, before_BHW, inside_BHW = inputs["palette"], inputs["labels"], inputs["mask"] > 0
    num_classes = palette_BE.shape[1] - 1
    _check_ids(edited_BHW, num_classes)
    additions = attributes.get("budget") == "additions"
    # Under additions a pixel that keeps its class is background, which has a share, whatever share its class has.
    painted_BHW, wanted_BHW = (
        inside_BHW & ~(additions & (labels == before_BHW)) for labels in (edited_BHW, expected_BHW)
    )
    shares = [
        histogram(np.where(painted, labels, num_classes).astype(np.uint8), num_classes + 1)
        for painted, labels in ((painted_BHW, edited_BHW), (wanted_BHW, expected_BHW))
    ]
    return {
        "equal_pixels": float(np.mean((edited_BHW == expected_BHW)[inside_BHW])) if inside_BHW.any() else 1.0,
        "kl_change": _kl_change(palette_BE, *shares),
        "forbidden_pixels": _count_forbidden(palette_BE, edited_BHW, painted_BHW & (edited_BHW != expected_BHW)),
        "outside_pixels": float(np.count_nonzero((edited_BHW != before_BHW) & ~inside_BHW)),
    }


def _measure_image(
    inputs: Mapping[str, Array], expected_BHW3: Array, image_BHW3: Array, attributes: Mapping[str, str]
) -> Metrics:
    error = image_BHW3.astype(np.float64) - expected_BHW3
    mean_square = float(np.square(error).mean(axis=(1, 2, 3)).max())
    psnr = 10.0 * np.log10(255.0**2 / mean_square) if mean_square > 0 else IDENTICAL_PSNR_DB
    return {"psnr_db": float(min(psnr, IDENTICAL_PSNR_DB)), "max_error": float(np.abs(error).max())}


def _measure_styles(
    inputs: Mapping[str, Array], expected_BKS: Array, styles_BKS: Array, attributes: Mapping[str, str]
) -> Metrics:
    error_B = np.abs(styles_BKS.astype(np.float64) - expected_BKS).max(axis=(1, 2))
    scale_B = np.abs(expected_BKS).max(axis=(1, 2)).astype(np.float64)
    # A sample whose codes are all zero has no scale: any error at all is one too many.
    relative_B = np.divide(error_B, scale_B, out=np.where(error_B > 0, np.inf, error_B), where=scale_B > 0)
    return {"style_error": float(relative_B.max()), "max_error": float(error_B.max())}


_MEASURES: dict[str, Callable[[Mapping[str, Array], Array, Array, Mapping[str, str]], Metrics]] = {
    "labels": _measure_labels,
    "scores": _measure_scores,
    "edited": _measure_edited,
    "image": _measure_image,
    "styles": _measure_styles,
}


def _kl_change(requested: Array, achieved: Array, wanted: Array) -> float:
    """Change of the mean KL(requested || .) from what is wanted to what was achieved, shares [B, K] or [B, E]."""
    return float(abs(kl_divergence(requested, achieved).mean() - kl_divergence(requested, wanted).mean()))


def _count_forbidden(palette: Array, labels_BHW: Array, counted_BHW: Array) -> float:
    """Pixels, of those counted, whose class has no share in its sample's palette [B, K] or [B, E].

    Where the trained network itself paints such a class, as one without semantically-assisted activation may, the
    engine is right to do so.
    """
    shares_BHW = np.take_along_axis(palette, labels_BHW.reshape(len(labels_BHW), -1).astype(np.intp), axis=1)
    return float(np.count_nonzero((shares_BHW.reshape(labels_BHW.shape) == 0) & counted_BHW))


def _check_ids(labels_BHW: Array, num_classes: int) -> None:
    """`histogram` refuses ids that are no class as a caller's mistake; here it is the engine's."""
    largest = int(labels_BHW.max(initial=0))
    if largest >= num_classes:
        raise InvalidInputError("output", largest, f"class ids from 0 to {num_classes - 1} are")
