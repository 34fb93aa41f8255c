"""The sample sheet of a model card: what the bundle makes of a few palettes."""
from pathlib import Path
def write_sample_sheet(root, operations, palette_model, label_space):
    pass
