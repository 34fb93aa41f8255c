"""Measuring what a trained model reaches, with the protocol of the paper's tables."""

from semantic_palette_training.evaluation.frechet import frechet_distance, frechet_segmentation_distance
from semantic_palette_training.evaluation.layout_quality import (
    Adherence,
    LayoutQuality,
    evaluate_layouts,
    measure_adherence,
)

__all__ = [
    "Adherence",
    "LayoutQuality",
    "evaluate_layouts",
    "frechet_distance",
    "frechet_segmentation_distance",
    "measure_adherence",
]
