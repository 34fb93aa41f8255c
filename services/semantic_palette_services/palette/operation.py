"""Sampling palettes from the palette model of a bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semantic_palette.constraints import Bounds, Constraints
from semantic_palette.pair import PaletteOrigin
from semantic_palette.palette_model import PaletteModel
from semantic_palette_services.bundle_selection import BundleContent
from semantic_palette_services.concurrency import WorkerPool

# Rejection may take 10,000 draws a palette. In pieces, a caller that gives up is noticed between two of them.
_CHUNK = 64


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPalette:
    """A palette float64 ``[K]``, the index of its draw, and whether bounds were held by rejection or projection."""

    palette: NDArray[np.float64]
    index: int
    origin: PaletteOrigin


class PaletteOperation:
    """Draws palettes of one bundle.

    Args:
        bundle: the bundle, and which models it has.
        model: its palette model.
        pool: threads to draw in.
    """

    def __init__(self, bundle: BundleContent, model: PaletteModel, pool: WorkerPool) -> None:
        self.bundle = bundle
        self._model = model
        self._pool = pool

    async def sample(self, seed: int, first_index: int, count: int, constraints: Constraints) -> list[DrawnPalette]:
        """Draw ``count`` palettes; draw i depends on (bundle, seed, first_index + i, constraints) alone.

        Raises:
            InvalidInputError: the constraints are not allowed or cannot be met.
        """
        bounds = None if constraints.is_empty else constraints.bounds(self.bundle.label_space)
        drawn: list[DrawnPalette] = []
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            drawn += await self._pool.run(self._draw, seed, first_index + start, size, bounds)
        return drawn

    def _draw(self, seed: int, first_index: int, count: int, bounds: Bounds | None) -> list[DrawnPalette]:
        draws = self._model.sample(seed, first_index, count, bounds)
        return [
            DrawnPalette(palette, first_index + offset, PaletteOrigin.PROJECTED if projected else PaletteOrigin.SAMPLED)
            for offset, (palette, projected) in enumerate(zip(draws.palettes, draws.projected, strict=True))
        ]
