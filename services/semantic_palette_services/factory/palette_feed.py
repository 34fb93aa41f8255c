"""The requested palette of each pair of a stream."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from semantic_palette.constraints import Constraints
from semantic_palette.pair import PaletteOrigin
from semantic_palette_services.concurrency import cancel_and_wait
from semantic_palette_services.factory.jobs import GivenPalettes, SampledPalettes
from semantic_palette_services.factory.stages import PaletteStage, PinnedBundle
from semantic_palette_services.palette.operation import DrawnPalette
from semantic_palette_services.tracing import traced

_CHUNK = 16
"""Palettes sampled at a time: enough to make the call cheap, few enough for an early first pair."""


class PaletteFeed:
    """The requested palette of each pair of one stream.

    Sampled palettes come in chunks that the pairs of a window share, so that no pair waits in line for a palette that
    takes long to draw. Close the feed when the stream ends.

    Args:
        stage: draws palettes.
        bundle: the bundle that the stream is pinned to.
        source: given or sampled palettes.
        seed: seed of the stream.
        first_index: index of the first pair.
        count: number of pairs.
        deadline: of the stream, in the event loop's time.
    """

    def __init__(
        self,
        stage: PaletteStage,
        bundle: PinnedBundle,
        source: GivenPalettes | SampledPalettes,
        *,
        seed: int,
        first_index: int,
        count: int,
        deadline: float | None,
    ) -> None:
        self._stage = stage
        self._bundle = bundle
        self._source = source
        self._seed = seed
        self._first_index = first_index
        self._count = count
        self._deadline = deadline
        self._chunks: dict[int, asyncio.Task[list[DrawnPalette]]] = {}

    async def palette(self, index: int) -> tuple[NDArray[np.float64], PaletteOrigin]:
        """The palette float64 ``[K]`` of the pair with this index, and where it came from."""
        if isinstance(self._source, GivenPalettes):
            return self._source.palettes[index % len(self._source.palettes)], PaletteOrigin.GIVEN
        number, position = divmod(index - self._first_index, _CHUNK)
        # Shielded: another pair of the chunk may still want it when this one is given up.
        drawn = (await asyncio.shield(self._chunk(number, self._source.constraints)))[position]
        return drawn.palette, drawn.origin

    def _chunk(self, number: int, constraints: Constraints) -> asyncio.Task[list[DrawnPalette]]:
        if number not in self._chunks:
            start = number * _CHUNK
            size = min(_CHUNK, self._count - start)
            self._chunks[number] = asyncio.create_task(self._sample(self._first_index + start, size, constraints))
        return self._chunks[number]

    async def _sample(self, first_index: int, count: int, constraints: Constraints) -> list[DrawnPalette]:
        # Part of the pair that asks first; the others find the palettes there.
        with traced("palette", {"first_index": first_index, "count": count}):
            return await self._stage.sample(self._bundle, self._seed, first_index, count, constraints, self._deadline)

    def forget_before(self, index: int) -> None:
        """Pairs before ``index`` have their palettes; what was drawn for them may go."""
        for number in [n for n in self._chunks if self._first_index + (n + 1) * _CHUNK <= index]:
            del self._chunks[number]

    async def close(self) -> None:
        """Stop what is being drawn."""
        await cancel_and_wait(self._chunks.values())
