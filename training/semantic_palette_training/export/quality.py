"""What the exported files reach: adherence, class statistics, copying and edits, measured through ONNX Runtime.

Shape suffixes: B batch, N samples, Z latent, K classes, H and W pixels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.budget import exact_labels, integer_budget
from semantic_palette.editing import Budget
from semantic_palette.noise import standard_normal
from semantic_palette.palette_model import PaletteModel
from semantic_palette_training.data.scenes import Scenes
from semantic_palette_training.evaluation import EditResults, evaluate_layouts, measure_adherence, measure_edits
from semantic_palette_training.export.edits import natural_edits
from semantic_palette_training.export.engines import onnxruntime_engine
from semantic_palette_training.export.operations import Operation

Labels = NDArray[np.uint8]

_BATCH_SIZE = 16
#: Seed of the palettes and noise that quality is measured on; trainers draw theirs from the seeds of the recipe, and
#: recipes stay below it.
QUALITY_SEED = 20_260_000
#: Pixels are compared on every fourth row and column: copies show at any size, and 367 comparisons stay cheap.
_STRIDE = 4


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """How much is measured."""

    natural: int
    """Layouts for natural adherence."""
    exact: int
    """Layouts for exact adherence."""
    edits: int
    """Edits of held-out layouts."""


def measure_quality(
    root: Path,
    operations: Mapping[str, Operation],
    palette_model: PaletteModel,
    train: Scenes,
    heldout: Scenes,
    counts: SampleCounts,
) -> dict[str, Any]:
    """The quality of the files in `root`, for the manifest: of layouts and of edits, where the bundle makes such.

    Args:
        root: folder of the files.
        operations: those of the bundle, by name.
        palette_model: source of the requested palettes; the samples are those of `QUALITY_SEED`, unseen in training.
        train: reference of the FSD and of the copying check.
        heldout: real scenes not trained on: what the copying check is compared with, and what is edited.
        counts: how much is measured.
    """
    quality: dict[str, Any] = {"engine": "onnxruntime-fp32"}
    if "layout" in operations:
        quality |= _measure_layouts(root, operations["layout"], palette_model, train, heldout, counts)
    if "editor" in operations:
        quality["edits"] = asdict(measure_edits(_edits(root, operations["editor"], heldout, counts.edits)))
    return quality


def _measure_layouts(
    root: Path, layout: Operation, palette_model: PaletteModel, train: Scenes, heldout: Scenes, counts: SampleCounts
) -> dict[str, Any]:
    natural = onnxruntime_engine(root / "layout.onnx")
    kept: list[Labels] = []

    def generate(z_BZ: NDArray[np.float32], palettes_BK: NDArray[np.float32]) -> Labels:
        labels = np.asarray(natural.run({"z": z_BZ, "palette": palettes_BK}), np.uint8)
        if _BATCH_SIZE * len(kept) < len(heldout):
            kept.append(labels)
        return labels

    reached = evaluate_layouts(
        generate,
        palette_model,
        train.palettes(),
        latent_size=layout.latent_size(),
        count=counts.natural,
        seed=QUALITY_SEED,
        batch_size=_BATCH_SIZE,
    )
    generated = np.concatenate(kept)[: len(heldout)]
    return {
        "natural": asdict(reached),
        "exact": _measure_exact(root, layout, palette_model, counts.exact),
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
    layouts = []
    for index, palette_K in enumerate(palettes_NK):
        z_Z = standard_normal(QUALITY_SEED, index, "layout", (layout.latent_size(),))
        scores_KHW = scores.run({"z": z_Z[None], "palette": palette_K[None].astype(np.float32)})[0]
        counts_K = integer_budget(palette_K, scores_KHW[0].size)
        layouts.append(exact_labels(scores_KHW, counts_K)[None])
    adherence, _ = measure_adherence(layouts, palettes_NK)
    return asdict(adherence)


def _edits(root: Path, editor: Operation, heldout: Scenes, count: int) -> Iterator[EditResults]:
    """Natural edits of held-out scenes, one after the other and again from the first."""
    engine, budget = onnxruntime_engine(root / "editor.onnx"), Budget.of(editor.attributes)
    for index in range(count):
        rows = {index: index % len(heldout)}
        edits = natural_edits(heldout.labels, rows, heldout.label_space.num_classes, budget, QUALITY_SEED)
        z_BZ = standard_normal(QUALITY_SEED, index, "edit", (editor.latent_size(),))[None]
        edited = engine.run(
            {"z": z_BZ, "labels": edits.labels_BHW, "mask": edits.mask_BHW, "palette": edits.palette_BE}
        )
        yield EditResults(edits.labels_BHW, edits.mask_BHW, edits.requested_BK, np.asarray(edited, np.uint8))


def _distances(layouts_NHW: Labels, train_MHW: Labels) -> dict[str, float]:
    """Median and least share of differing pixels between each layout and the training layout nearest to it."""
    reference = train_MHW[:, ::_STRIDE, ::_STRIDE]
    reference = np.concatenate([reference, train_MHW[:, :, ::-1][:, ::_STRIDE, ::_STRIDE]])
    sampled = layouts_NHW[:, ::_STRIDE, ::_STRIDE]
    nearest = [float((reference != labels).mean(axis=(1, 2)).min()) for labels in sampled]
    return {"count": len(nearest), "median": float(np.median(nearest)), "least": float(min(nearest))}
