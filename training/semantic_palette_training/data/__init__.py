"""Data sets: scenes with their label maps, kept as uint8."""

from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.registry import DataConfig, load_scenes
from semantic_palette_training.data.scenes import DataError, Scenes, Split

__all__ = ["DataConfig", "DataError", "Scenes", "Split", "batch_indices", "load_scenes"]
