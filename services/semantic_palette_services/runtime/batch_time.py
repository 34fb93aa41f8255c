"""How long a batch takes: seconds = a * n + b, fitted online."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from semantic_palette_services.runtime.item_queue import BucketKey, Signature, Turns, describe_signature

# Weight of the past at each new batch: the last fifty or so count, so the fit follows a machine that gets busier.
DECAY = 0.98
# Once nothing was observed for so long, the machine may be less busy than it was. A batch that takes less than this
# share of what is expected then scales what is expected of all sizes, and the past counts as half a batch beside it.
# One that is slower counts as always: the first after a pause often is.
STALE_SECONDS = 5.0
FASTER_SHARE = 0.5
STALE_WEIGHT = 0.5


class BatchTimeModel:
    """Exponentially weighted least squares of batch seconds over batch size.

    Both the slope and the offset are kept from becoming negative, so that a prediction never shrinks with the batch.

    Args:
        measured: seconds by batch size, measured before serving; counted as one observation each.
    """

    def __init__(self, measured: Mapping[int, float] | None = None) -> None:
        self._weight = self._n = self._nn = self._t = self._nt = 0.0
        self._observed = time.monotonic()
        for size, seconds in (measured or {}).items():
            self.observe(size, seconds)

    @property
    def outdated(self) -> bool:
        """Whether nothing was observed for a while, so that predictions may be far off."""
        return self._outdated_at(time.monotonic())

    def observe(self, size: int, seconds: float) -> None:
        """Take in that a batch of ``size`` took ``seconds``."""
        now = time.monotonic()
        if self._outdated_at(now - seconds) and seconds < FASTER_SHARE * (expected := self.predict(size)):
            scale = (STALE_WEIGHT + seconds / expected) / (STALE_WEIGHT + 1.0)
            self._t, self._nt = scale * self._t, scale * self._nt
        self._weight = self._weight * DECAY + 1.0
        self._n = self._n * DECAY + size
        self._nn = self._nn * DECAY + size * size
        self._t = self._t * DECAY + seconds
        self._nt = self._nt * DECAY + size * seconds
        self._observed = now

    def _outdated_at(self, now: float) -> bool:
        return now - self._observed >= STALE_SECONDS

    def predict(self, size: int) -> float:
        """Expected seconds of a batch of ``size``; 0 before anything was observed, so that nothing is refused then."""
        per_item, fixed = self.line()
        return per_item * size + fixed

    def line(self) -> tuple[float, float]:
        """Seconds that an item adds to a batch, and seconds that a batch takes beside: a and b; 0 while unknown.

        As long as all batches had the same size, all of their time counts as b.
        """
        if self._weight == 0.0:
            return 0.0, 0.0
        mean_size, mean_seconds = self._n / self._weight, self._t / self._weight
        variance = self._nn / self._weight - mean_size * mean_size
        if variance < 1e-9:
            return 0.0, mean_seconds
        slope = max((self._nt / self._weight - mean_size * mean_seconds) / variance, 0.0)
        offset = mean_seconds - slope * mean_size
        if offset < 0.0:
            return self._nt / self._nn, 0.0
        return slope, offset

    def affordable(self, size: int, largest: int, surcharge: float) -> int:
        """The size, from ``size`` to ``largest``, to which a batch may grow and take at most ``surcharge`` longer.

        Args:
            size: of the batch as it is.
            largest: the most that it may become.
            surcharge: additional time that is allowed, as a share of the batch's own.
        """
        allowed = (1.0 + surcharge) * self.predict(size)
        while size < largest and self.predict(size + 1) <= allowed:
            size += 1
        return size


@dataclass(frozen=True, slots=True)
class BatchFit:
    """How long batches of one kind take: ``seconds_per_item * n + fixed_seconds``.

    Attributes:
        inputs: names, dtypes and shapes of an item's arrays.
        deterministic: whether these are deterministic items, each of which is a batch of its own.
        seconds_per_item: what an item adds.
        fixed_seconds: what a batch takes beside.
    """

    inputs: str
    deterministic: bool
    seconds_per_item: float
    fixed_seconds: float


class BatchTimes:
    """Batch times of every bucket of a model; those of items that run alone after a failure are in with the others'.

    Args:
        measured: seconds of ordinary batches by size, measured before serving.
    """

    def __init__(self, measured: Mapping[int, float] | None) -> None:
        self._measured = measured
        self._models: dict[tuple[Signature, bool], BatchTimeModel] = {}

    def of(self, key: BucketKey) -> BatchTimeModel:
        """The batch times of a bucket."""
        bucket = (key.signature, key.deterministic)
        if bucket not in self._models:
            self._models[bucket] = BatchTimeModel(None if key.deterministic else self._measured)
        return self._models[bucket]

    def fits(self) -> list[BatchFit]:
        """The batch times of every bucket that there has been."""
        return [
            BatchFit(describe_signature(signature), deterministic, *model.line())
            for (signature, deterministic), model in self._models.items()
        ]

    def total(self, turns: Iterable[Turns]) -> float:
        """Expected seconds of batches."""
        return math.fsum(number * self.of(key).predict(size) for key, size, number in turns)
