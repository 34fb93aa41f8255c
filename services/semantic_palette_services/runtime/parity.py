"""Whether an engine reproduces the golden outputs of a bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.palette import histogram, kl_divergence
from semantic_palette_services.runtime.golden import Golden
from semantic_palette_services.runtime.item_queue import Arrays

# An engine in single precision may differ by ties of the argmax only; a lower precision may move a few borders, as
# long as the proportions, which are the product, stay what they were.
EQUAL_PIXELS_FP32 = 0.999
EQUAL_PIXELS_LOWER = 0.99
KL_CHANGE_LOWER = 1e-3
PSNR_DB = 35.0


@dataclass(frozen=True, slots=True)
class ParityReport:
    """How close an engine came.

    Attributes:
        passed: whether it is close enough to serve.
        reason: the figures, and the limits that they were held against.
    """

    passed: bool
    reason: str


def compare(operation: str, precision: str, golden: Golden, rows: Sequence[int], outputs: Arrays) -> ParityReport:
    """Hold an engine's outputs against the golden ones.

    Args:
        operation: "layout", "layout_scores" or "image".
        precision: precision of the engine.
        golden: the golden outputs.
        rows: which golden sample each row of the outputs belongs to.
        outputs: what the engine answered, batch axis first.
    """
    index = np.asarray(rows)
    if operation == "image":
        return _compare_images(outputs["image"], golden.images[index])
    labels = outputs["labels"] if operation == "layout" else outputs["scores"].argmax(axis=1)
    return _compare_labels(precision, labels.astype(np.uint8), golden.labels[index], golden.palettes[index])


def _compare_images(images: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> ParityReport:
    if images.shape != wanted.shape:
        return ParityReport(False, f"image has shape {images.shape}, golden has {wanted.shape}")
    error = np.square(images.astype(np.float32) - wanted.astype(np.float32)).reshape(len(images), -1).mean(axis=1)
    worst = float(error.max())
    psnr = math.inf if worst == 0.0 else 10.0 * math.log10(255.0**2 / worst)
    return ParityReport(psnr >= PSNR_DB, f"worst image PSNR {psnr:.1f} dB, at least {PSNR_DB:.0f} wanted")


def _compare_labels(
    precision: str, labels: NDArray[np.uint8], wanted: NDArray[np.uint8], palettes: NDArray[np.float32]
) -> ParityReport:
    if labels.shape != wanted.shape:
        return ParityReport(False, f"labels have shape {labels.shape}, golden have {wanted.shape}")
    equal = float((labels == wanted).mean())
    num_classes = palettes.shape[1]
    change = abs(float(np.mean(_kl(palettes, labels, num_classes) - _kl(palettes, wanted, num_classes))))
    if precision == "fp32":
        return ParityReport(
            equal >= EQUAL_PIXELS_FP32, f"{equal:.4%} equal pixels, at least {EQUAL_PIXELS_FP32:.1%} wanted"
        )
    return ParityReport(
        equal >= EQUAL_PIXELS_LOWER and change < KL_CHANGE_LOWER,
        f"{equal:.4%} equal pixels and KL change {change:.1e}, "
        f"at least {EQUAL_PIXELS_LOWER:.0%} and under {KL_CHANGE_LOWER:.0e} wanted",
    )


def _kl(palettes: NDArray[np.float32], labels: NDArray[np.uint8], num_classes: int) -> NDArray[np.float64]:
    return kl_divergence(palettes.astype(np.float64), histogram(labels, num_classes))
