"""Why a run did not become a bundle.

ExportError
    ParityError     an exported file does not do what the trained network does
"""

from semantic_palette.errors import SemanticPaletteError


class ExportError(SemanticPaletteError):
    """A run cannot become a bundle; the message names the file or model and what to do about it."""


class ParityError(ExportError):
    """An exported file disagrees with the eager network beyond the thresholds; nothing was written."""
