"""How much a caller may ask for: items a second and streams at a time.

An item is a pair, a layout or an image. They are counted when they are begun, so that what a caller abandons is counted
as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from semantic_palette_services.access.errors import QuotaExceededError, UnauthenticatedError

_RETRY_STREAMS_SECONDS = 1.0
_ROUNDING = 1e-9
_LONGEST_SLEEP = 1.0
"""So that a stream soon notices that its token is revoked, or may go faster."""


class TokenBucket:
    """A second's worth of items, at least one, that fills as fast as items are allowed.

    More than the bucket holds may be taken at once when it is full: it is then in debt, and what comes next waits for
    longer, so that the rate holds over time whatever the sizes.

    Args:
        rate: items a second.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._level = self._capacity
        self._since = clock()

    @property
    def _capacity(self) -> float:
        return max(1.0, self.rate)

    def wait(self, count: int) -> float:
        """Seconds until ``count`` items may be taken; 0 for now."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._since) * self.rate)
        self._since = now
        missing = min(float(count), self._capacity) - self._level
        return missing / self.rate if missing > _ROUNDING else 0.0

    def take(self, count: int) -> None:
        """Take items out, after `wait` has said 0."""
        self._level -= count


class Quota:
    """What one token may use, and what it has used.

    Args:
        caller: name of the token.
        pairs_per_second: items a second; None for as many as there are.
        max_streams: streams at a time; None for as many as the server allows.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        caller: str,
        pairs_per_second: float | None = None,
        max_streams: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caller = caller
        self._max_streams = max_streams
        self._bucket = None if pairs_per_second is None else TokenBucket(pairs_per_second, clock)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._streams = 0
        self._revoked = False

    def change(self, pairs_per_second: float | None, max_streams: int | None) -> None:
        """Allow more, or less, from now on; what is in use stays counted."""
        self._max_streams = max_streams
        if pairs_per_second is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = TokenBucket(pairs_per_second, self._clock)
        else:
            self._bucket.rate = pairs_per_second

    def revoke(self) -> None:
        """Allow nothing more: the token is gone. Streams end with UnauthenticatedError at their next pair."""
        self._revoked = True

    def spend(self, count: int) -> None:
        """Take ``count`` items now.

        Raises:
            QuotaExceededError: they would be too many now.
        """
        if self._bucket is None:
            return
        wait = self._bucket.wait(count)
        if wait > 0:
            raise QuotaExceededError(self._caller, f"{self._bucket.rate:g} pairs, layouts or images a second", wait)
        self._bucket.take(count)

    async def begin_pair(self) -> None:
        """Wait until another pair may be begun, in turn.

        Raises:
            UnauthenticatedError: the token has been revoked.
        """
        if self._bucket is not None:
            async with self._turn:
                while self._bucket is not None and not self._revoked and (wait := self._bucket.wait(1)) > 0:
                    await asyncio.sleep(min(wait, _LONGEST_SLEEP))
                if self._bucket is not None and not self._revoked:
                    self._bucket.take(1)
        if self._revoked:
            raise UnauthenticatedError("the token that began this stream has been revoked")

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Within the block a stream counts as open.

        Raises:
            QuotaExceededError: as many as are allowed are open.
        """
        if self._max_streams is not None and self._streams >= self._max_streams:
            raise QuotaExceededError(self._caller, f"{self._max_streams} streams at a time", _RETRY_STREAMS_SECONDS)
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
