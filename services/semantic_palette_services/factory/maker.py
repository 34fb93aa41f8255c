"""What makes the pairs of a stream."""

from __future__ import annotations

import importlib.metadata
from typing import Protocol, TypeVar

from semantic_palette.pair import Pair

SERVICE_VERSION = importlib.metadata.version("semantic-palette")

MadePair = TypeVar("MadePair", bound=Pair, covariant=True)


class PairMaker(Protocol[MadePair]):
    """Makes the pairs of one stream, several at a time."""

    async def make(self, index: int) -> MadePair:
        """The pair with this index."""

    def forget_before(self, index: int) -> None:
        """No pair before ``index`` will be asked for any more."""

    async def close(self) -> None:
        """Stop what is under way; the stream has ended."""
