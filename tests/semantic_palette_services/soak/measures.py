"""Memory and file descriptors over time.

Memory is the resident set of a process, sampled once a second under load. What a process needs is known once it has
warmed up, so medians of two windows are compared: from 30 to 50 % of the run, and its last 20 %.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from soak.pods import Pod

_INTERVAL = 1.0
_WORK = ("semantic_palette_inflight_", "semantic_palette_queue_depth")
_EARLY, _LATE = (0.3, 0.5), (0.8, 1.0)


@dataclass(frozen=True)
class Growth:
    """Resident memory of a process in MiB in two windows of a run."""

    early: float
    late: float

    @property
    def ratio(self) -> float:
        """By how much it grew; 0.05 is 5 %."""
        return self.late / self.early - 1.0


@dataclass
class Samples:
    """Resident memory of processes in MiB, by name, with the time of each sample in seconds since the start."""

    taken: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0

    def growth(self) -> dict[str, Growth]:
        """Of every process."""
        return {name: Growth(self._median(name, _EARLY), self._median(name, _LATE)) for name in self.taken}

    def _median(self, name: str, window: tuple[float, float]) -> float:
        start, end = (share * self.seconds for share in window)
        return statistics.median(size for at, size in self.taken[name] if start <= at <= end)


@asynccontextmanager
async def sampling(pods: Sequence[Pod]) -> AsyncIterator[Samples]:
    """Sample for as long as the context lasts."""
    samples, started = Samples(), time.monotonic()

    async def sample() -> None:
        while True:
            for pod in pods:
                samples.taken[pod.name].append((time.monotonic() - started, pod.memory()))
            await asyncio.sleep(_INTERVAL)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.wait({task})
        samples.seconds = time.monotonic() - started


async def at_rest(pods: Sequence[Pod], wanted: dict[str, int], seconds: float) -> dict[str, int]:
    """Open file descriptors of each process, once they are no more than wanted or the time is over."""
    give_up = time.monotonic() + seconds
    while True:
        found = {pod.name: pod.descriptors() for pod in pods}
        if all(found[name] <= most for name, most in wanted.items()) or time.monotonic() > give_up:
            return found
        await asyncio.sleep(0.2)


async def work_left(pods: Sequence[Pod], seconds: float) -> dict[str, float]:
    """Gauges of work under way that are not 0 when the time is over."""
    give_up = time.monotonic() + seconds
    while True:
        busy = {
            f"{pod.name} {name}": value
            for pod in pods
            for name, value in (await pod.metrics(*_WORK)).items()
            if value != 0
        }
        if not busy or time.monotonic() > give_up:
            return busy
        await asyncio.sleep(0.2)
