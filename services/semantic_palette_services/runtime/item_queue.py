"""The waiting items of one model, and which of them make the next batch."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semantic_palette.priority import Priority
from semantic_palette_services.tracing import Span, current_span

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

# An item is served as if its deadline were never further away than this: whatever has waited so long goes before
# everything of its priority that arrives later, so neither a far deadline nor none at all can starve.
AGEING_SECONDS = 5.0

Signature: TypeAlias = tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]

_arrivals = itertools.count()


class BucketKey(NamedTuple):
    """Items with equal keys may share a batch, whatever their priorities.

    Attributes:
        signature: names, shapes and dtypes of the arrays.
        alone: whether each item must be a batch of its own: the canonical shape of deterministic items, and of items
            that were in a batch that failed.
    """

    signature: Signature
    alone: bool
    deterministic: bool


def describe_signature(signature: Signature) -> str:
    """A signature for people: ``z float32[64], palette float32[12]``."""
    return ", ".join(f"{name} {dtype}[{','.join(map(str, shape))}]" for name, shape, dtype in signature)


@dataclass(slots=True, eq=False)
class Item:
    """One sample that waits for the device.

    Attributes:
        inputs: arrays by input name, without batch axis.
        future: where the answer goes.
        enqueued: when the item was accepted, in seconds of the event loop's clock.
        deadline: when the caller stops waiting, on the same clock; None for never.
        deterministic: whether the item must run in a batch of its own.
        priority: which items it goes before.
        suspect: whether the item was in a batch that failed.
        span: the span that it is part of; None where tracing is off.
    """

    inputs: Arrays
    future: asyncio.Future[dict[str, NDArray[Any]]]
    enqueued: float
    deadline: float | None
    deterministic: bool
    priority: Priority = Priority.INTERACTIVE
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
        batch: items to run together, those that lead first; empty when everything pulled had expired.
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


Shortest: TypeAlias = Callable[[BucketKey], float]
"""Seconds that an item of a bucket takes to run, at least."""

Company: TypeAlias = Callable[[BucketKey, int], int]
"""Size to which a batch of so many interactive items may be filled up with bulk ones."""

_Entries: TypeAlias = list[tuple[tuple[float, int], Item]]


class ItemQueue:
    """Buckets of items: by priority, then earliest deadline first, with ageing. Not thread-safe.

    Args:
        max_batch_size: most items in a batch.
    """

    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._buckets: dict[Priority, dict[BucketKey, _Entries]] = {priority: {} for priority in Priority}
        self._counts = dict.fromkeys(Priority, 0)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, priority: Priority) -> int:
        """How many items of a priority wait."""
        return self._counts[priority]

    def has(self, key: BucketKey) -> bool:
        """Whether items of a bucket wait."""
        return any(key in buckets for buckets in self._buckets.values())

    def add(self, item: Item) -> None:
        """Queue an item. O(log n) comparisons."""
        insort(self._buckets[item.priority].setdefault(item.bucket, []), (item.order, item))
        self._counts[item.priority] += 1

    def discard(self, item: Item) -> bool:
        """Take an item out; False if it is not queued."""
        key = item.bucket
        entries = self._buckets[item.priority].get(key, [])
        position = bisect_left(entries, (item.order,))
        if position == len(entries) or entries[position][1] is not item:
            return False
        self._drop(item.priority, key, slice(position, position + 1))
        return True

    def pull(
        self,
        now: float,
        lead: Priority = Priority.INTERACTIVE,
        company: Company | None = None,
        shortest: Shortest | None = None,
    ) -> Pull | None:
        """The next batch, from the bucket whose first item is the most urgent; None when nothing is queued.

        Args:
            now: the time, on the clock of the items' deadlines.
            lead: whose most urgent item the batch is formed around, where there is one of this priority. What room is
                left is filled from the other priority.
            company: how far a batch that interactive items lead is filled; by default it is.
            shortest: how long an item runs at least. What cannot be over in time has expired, as long as others wait
                that can: else a device that falls behind would begin each item just before its deadline, and answer
                every one too late.
        """
        other = Priority.BULK if lead is Priority.INTERACTIVE else Priority.INTERACTIVE
        if not self._buckets[lead]:
            lead, other = other, lead
        buckets = self._buckets[lead]
        if not buckets:
            return None
        key = min(buckets, key=lambda key: buckets[key][0][0])
        limit = self._limit(key)
        pull = Pull(key, [], [])
        finish = now + (shortest(key) if shortest is not None else 0.0)
        self._take(lead, pull, limit, now, finish)
        if pull.batch:
            if lead is Priority.INTERACTIVE and company is not None:
                limit = min(limit, company(key, len(pull.batch)))
            self._take(other, pull, limit, now, finish)
        return pull

    def turns(self, priority: Priority, before: Item | None = None) -> Iterator[Turns]:
        """The batches that what is queued of a priority would make now, alike ones together: at most two a bucket.

        Args:
            priority: what is counted.
            before: count only what is more urgent than this item, which itself need not be queued.
        """
        for key, entries in self._buckets[priority].items():
            waiting = len(entries) if before is None else bisect_left(entries, (before.order,))
            full, rest = divmod(waiting, self._limit(key))
            if full:
                yield Turns(key, self._limit(key), full)
            if rest:
                yield Turns(key, rest, 1)

    def company(self, item: Item) -> tuple[int, int]:
        """How many items of its priority are in the batch that an item would join, and how many will be, it included.

        Behind it as many are expected to come, while it waits, as wait before it.

        Args:
            item: of which bucket and urgency; it need not be queued.
        """
        key = item.bucket
        before = bisect_left(self._buckets[item.priority].get(key, ()), (item.order,))
        joined = before % self._limit(key)
        return joined, min(joined + 1 + before, self._limit(key))

    def clear(self) -> list[Item]:
        """Take everything out."""
        items = [item for buckets in self._buckets.values() for entries in buckets.values() for _, item in entries]
        for priority in Priority:
            self._buckets[priority].clear()
            self._counts[priority] = 0
        return items

    def _take(self, priority: Priority, pull: Pull, limit: int, now: float, finish: float) -> None:
        """Move items of a priority from the bucket to the batch, until it has ``limit``; those run until ``finish``."""
        taken = 0
        last_chance: Item | None = None
        for _, item in self._buckets[priority].get(pull.key, ()):
            if len(pull.batch) >= limit:
                break
            taken += 1
            if item.deadline is None or item.deadline > finish:
                pull.batch.append(item)
            else:
                pull.expired.append(item)
                last_chance = item if item.deadline > now else last_chance
        if not pull.batch and last_chance is not None:
            # Nobody is worse off if it is tried, and an estimate that is too long is set right.
            pull.expired.remove(last_chance)
            pull.batch.append(last_chance)
        if taken:
            self._drop(priority, pull.key, slice(taken))

    def _drop(self, priority: Priority, key: BucketKey, which: slice) -> None:
        entries = self._buckets[priority][key]
        before = len(entries)
        del entries[which]
        self._counts[priority] -= before - len(entries)
        if not entries:
            del self._buckets[priority][key]

    def _limit(self, key: BucketKey) -> int:
        return 1 if key.alone else self._max_batch_size
