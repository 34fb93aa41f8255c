"""Data sets: scenes with their label maps, kept as uint8 in memory."""

from semantic_palette_training.data.batches import batch_indices
from semantic_palette_training.data.scenes import DataConfig, DataError, Scenes, Split, load_scenes

__all__ = ["DataConfig", "DataError", "Scenes", "Split", "batch_indices", "load_scenes"]
