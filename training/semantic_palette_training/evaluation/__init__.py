"""Measuring what a trained model reaches, with the protocol of the paper's tables."""

from semantic_palette_training.evaluation.edit_quality import EditQuality, EditResults, measure_edits
from semantic_palette_training.evaluation.frechet import frechet_distance, frechet_segmentation_distance
from semantic_palette_training.evaluation.layout_quality import (
    AdherenceReport,
    LayoutQuality,
    evaluate_layouts,
    measure_adherence,
)

__all__ = [
    "AdherenceReport",
    "EditQuality",
    "EditResults",
    "LayoutQuality",
    "evaluate_layouts",
    "frechet_distance",
    "frechet_segmentation_distance",
    "measure_adherence",
    "measure_edits",
]
