"""What one request may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError, SemanticPaletteError
from semantic_palette.grpc_conventions import MAX_MESSAGE_BYTES

MAX_UINT64 = 2**64 - 1

# What an answer says about an item beside its pixels: the shares of up to 256 classes with their names.
_ITEM_OVERHEAD_BYTES = 16 * 1024
_RETRY_AFTER_SECONDS = 1.0


class TooManyCallsError(SemanticPaletteError):
    """As many calls, or streams, as the server allows are open.

    Attributes:
        what: of what there are too many.
        limit: how many are allowed.
        retry_after_seconds: when to ask again.
    """

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{limit} {what} are open already; retry in {_RETRY_AFTER_SECONDS:.1f} s")
        self.what = what
        self.limit = limit
        self.retry_after_seconds = _RETRY_AFTER_SECONDS


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

    def items_of(self, num_bytes: int) -> int:
        """How many items of so many bytes, uncompressed, one request may ask for: their answer must fit a message."""
        return min(self.max_items, max(1, MAX_MESSAGE_BYTES // (num_bytes + _ITEM_OVERHEAD_BYTES)))


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
