"""What one request may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError

MAX_UINT64 = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one request, or all streams together, may ask of a server."""

    max_palettes: int = 4096
    """Palettes sampled by one request, and palettes given to one stream."""

    max_items: int = 256
    """Layouts or images made by one request."""

    max_pairs: int = 1_000_000
    """Pairs of one stream."""

    max_layouts: int = 1024
    """Layouts given to one stream."""

    max_streams: int = 64
    """Streams of pairs at the same time."""


def check_count(field: str, count: int, maximum: int) -> None:
    """Check that ``count`` is between 1 and ``maximum``.

    Raises:
        InvalidInputError: it is not; names the field.
    """
    if not 1 <= count <= maximum:
        raise InvalidInputError(field, count, f"1 to {maximum} is allowed")


def check_range_end(first_index: int, count: int) -> None:
    """Check that the last of ``count`` indices from ``first_index`` still fits 64 bits.

    Raises:
        InvalidInputError: it does not.
    """
    if first_index > MAX_UINT64 - (count - 1):
        raise InvalidInputError(
            "first_index", first_index, f"0 to {MAX_UINT64 - count + 1} is allowed with count {count}"
        )
