"""Styles of references, encoded once. K classes, S style size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

Styles: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class StyleReference:
    """A scene whose look an image shall have: image uint8 ``[H, W, 3]`` and its layout uint8 ``[H, W]``."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    styles: Styles | None = None


class StyleCache:
    """Remembers the styles of a reference for as long as anybody has it: a thousand edits of a pair encode it once."""

    def __init__(self) -> None:
        # What is encoded deterministically may differ by rounding from what is not.
        self._entries: WeakKeyDictionary[StyleReference, dict[bool, _Entry]] = WeakKeyDictionary()

    async def get(
        self, reference: StyleReference, encode: Callable[[], Awaitable[Styles]], *, deterministic: bool
    ) -> Styles:
        """Styles float32 ``[K, S]``; whoever comes first encodes, and where that fails the next one tries again."""
        entry = self._entries.setdefault(reference, {}).setdefault(deterministic, _Entry())
        async with entry.lock:
            if entry.styles is None:
                entry.styles = await encode()
            return entry.styles
