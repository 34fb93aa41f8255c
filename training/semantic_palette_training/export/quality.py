"""What the exported files reach: adherence, class statistics and copying, measured through ONNX Runtime.

Shape suffixes: B batch, N samples, Z latent, K classes, H and W pixels.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.budget import exact_labels, integer_budget
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.evaluation import evaluate_layouts, measure_adherence
from semantic_palette_training.export.engines import onnxruntime_engine
from semantic_palette_training.export.golden import noise_rows
from semantic_palette_training.export.modules import Operation

Labels = NDArray[np.uint8]

_BATCH_SIZE = 16
#: Seed of the palettes and noise that quality is measured on; trainers draw theirs from the seeds of the recipe, and
#: recipes stay below it.
QUALITY_SEED = 20_260_000
#: Pixels are compared on every fourth row and column: copies show at any size, and 367 comparisons stay cheap.
_STRIDE = 4


def measure_quality(
    root: Path,
    layout: Operation,
    palette_model: PaletteModel,
    train: Scenes,
    heldout: Scenes,
    *,
    natural_samples: int,
    exact_samples: int,
) -> dict[str, Any]:
    """The quality of `layout.onnx` and `layout_scores.onnx` in `root`, for the manifest.

    Args:
        root: folder of the files.
        layout: the layout operation, for the sizes of its inputs.
        palette_model: source of the requested palettes; the samples are those of `QUALITY_SEED`, unseen in training.
        train: reference of the FSD and of the copying check.
        heldout: real scenes not trained on: what the copying check is compared with.
        natural_samples: layouts for natural adherence (the paper's protocol has 2,000).
        exact_samples: layouts for exact adherence.
    """
    natural = onnxruntime_engine(root / "layout.onnx")
    kept: list[Labels] = []

    def generate(z_BZ: NDArray[np.float32], palettes_BK: NDArray[np.float32]) -> Labels:
        labels = np.asarray(natural.run({"z": z_BZ, "palette": palettes_BK}), np.uint8)
        kept.append(labels)
        return labels

    latent_size = int(layout.inputs[0].shape[1])
    reached = evaluate_layouts(
        generate,
        palette_model,
        train.palettes(),
        latent_size=latent_size,
        count=natural_samples,
        seed=QUALITY_SEED,
        batch_size=_BATCH_SIZE,
    )
    generated = np.concatenate(kept)[: len(heldout)]
    return {
        "engine": natural.name,
        "natural": asdict(reached),
        "exact": _measure_exact(root, layout, palette_model, exact_samples),
        "nearest_training_layout": {
            "description": "share of pixels that differ from the most similar training layout or its mirror image",
            "generated": _distances(generated, train.labels),
            "heldout": _distances(heldout.labels, train.labels),
        },
    }


def _measure_exact(root: Path, layout: Operation, palette_model: PaletteModel, count: int) -> dict[str, Any]:
    """Adherence of integer budgets met on the exported scores, for the same palettes and noise."""
    scores = onnxruntime_engine(root / "layout_scores.onnx")
    palettes_NK = palette_model.sample(QUALITY_SEED, 0, count).palettes
    z_NZ = noise_rows(layout, QUALITY_SEED, count)
    layouts = []
    for z_Z, palette_K in zip(z_NZ, palettes_NK, strict=True):
        inputs = {"z": z_Z[None], "palette": palette_K[None].astype(np.float32)}
        scores_KHW = scores.run(inputs)[0]
        counts_K = integer_budget(palette_K, scores_KHW[0].size)
        layouts.append(exact_labels(scores_KHW, counts_K)[None])
    adherence, _ = measure_adherence(layouts, palettes_NK)
    return asdict(adherence)


def _distances(layouts_NHW: Labels, train_MHW: Labels) -> dict[str, float]:
    """Median and least share of differing pixels between each layout and the training layout nearest to it."""
    reference = train_MHW[:, ::_STRIDE, ::_STRIDE]
    reference = np.concatenate([reference, train_MHW[:, :, ::-1][:, ::_STRIDE, ::_STRIDE]])
    sampled = layouts_NHW[:, ::_STRIDE, ::_STRIDE]
    nearest = [float((reference != labels).mean(axis=(1, 2)).min()) for labels in sampled]
    return {"count": len(nearest), "median": float(np.median(nearest)), "least": float(min(nearest))}
