"""The waiting items of one model, and which of them make the next batch."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette_services.tracing import Span, current_span

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

# An item is served as if its deadline were never further away than this: whatever has waited so long goes before
# everything that arrives later, so neither a far deadline nor none at all can starve.
AGEING_SECONDS = 5.0

_arrivals = itertools.count()


class BucketKey(NamedTuple):
    """Items with equal keys may share a batch.

    Attributes:
        signature: names, shapes and dtypes of the arrays.
        alone: whether each item must be a batch of its own: the canonical shape of deterministic items, and of items
            that were in a batch that failed.
    """

    signature: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]
    alone: bool
    deterministic: bool


@dataclass(slots=True, eq=False)
class Item:
    """One sample that waits for the device.

    Attributes:
        inputs: arrays by input name, without batch axis.
        future: where the answer goes.
        enqueued: when the item was accepted, in seconds of the event loop's clock.
        deadline: when the caller stops waiting, on the same clock; None for never.
        deterministic: whether the item must run in a batch of its own.
        suspect: whether the item was in a batch that failed.
        span: the span that it is part of; None where tracing is off.
    """

    inputs: Arrays
    future: asyncio.Future[dict[str, NDArray[Any]]]
    enqueued: float
    deadline: float | None
    deterministic: bool
    suspect: bool = False
    span: Span | None = field(default_factory=current_span)
    order: tuple[float, int] = field(init=False)

    def __post_init__(self) -> None:
        aged = self.enqueued + AGEING_SECONDS
        self.order = (aged if self.deadline is None else min(self.deadline, aged), next(_arrivals))

    @property
    def bucket(self) -> BucketKey:
        """The bucket that the item waits in."""
        signature = tuple((name, array.shape, array.dtype) for name, array in self.inputs.items())
        return BucketKey(signature, self.deterministic or self.suspect, self.deterministic)


class Pull(NamedTuple):
    """What one turn of the device takes from the queue.

    Attributes:
        key: bucket of the batch.
        batch: items to run together, most urgent first; empty when everything pulled had expired.
        expired: items whose deadline has passed.
    """

    key: BucketKey
    batch: list[Item]
    expired: list[Item]


class Turns(NamedTuple):
    """Batches of one bucket that have the same size.

    Attributes:
        key: the bucket.
        size: items in each batch.
        number: how many they are.
    """

    key: BucketKey
    size: int
    number: int


class ItemQueue:
    """Buckets of items in order of urgency: earliest deadline first, with ageing. Not thread-safe.

    Args:
        max_batch_size: most items in a batch.
    """

    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._buckets: dict[BucketKey, list[tuple[tuple[float, int], Item]]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, item: Item) -> None:
        """Queue an item. O(log n) comparisons."""
        insort(self._buckets.setdefault(item.bucket, []), (item.order, item))
        self._length += 1

    def discard(self, item: Item) -> bool:
        """Take an item out; False if it is not queued."""
        entries = self._buckets.get(item.bucket, [])
        position = bisect_left(entries, (item.order,))
        if position == len(entries) or entries[position][1] is not item:
            return False
        del entries[position]
        self._length -= 1
        if not entries:
            del self._buckets[item.bucket]
        return True

    def pull(self, now: float) -> Pull | None:
        """The next batch, from the bucket whose first item is the most urgent; None when nothing is queued."""
        if not self._buckets:
            return None
        key = min(self._buckets, key=lambda key: self._buckets[key][0][0])
        entries, limit = self._buckets[key], self._limit(key)
        pull, taken = Pull(key, [], []), 0
        for _, item in entries:
            if len(pull.batch) == limit:
                break
            expired = item.deadline is not None and item.deadline <= now
            (pull.expired if expired else pull.batch).append(item)
            taken += 1
        del entries[:taken]
        self._length -= taken
        if not entries:
            del self._buckets[key]
        return pull

    def turns(self, before: Item | None = None) -> Iterator[Turns]:
        """The batches that what is queued would make now, alike ones together: at most two entries a bucket.

        Args:
            before: count only what is more urgent than this item, which itself need not be queued.
        """
        for key, entries in self._buckets.items():
            waiting = len(entries) if before is None else bisect_left(entries, (before.order,))
            full, rest = divmod(waiting, self._limit(key))
            if full:
                yield Turns(key, self._limit(key), full)
            if rest:
                yield Turns(key, rest, 1)

    def clear(self) -> list[Item]:
        """Take everything out."""
        items = [item for entries in self._buckets.values() for _, item in entries]
        self._buckets.clear()
        self._length = 0
        return items

    def _limit(self, key: BucketKey) -> int:
        return 1 if key.alone else self._max_batch_size
