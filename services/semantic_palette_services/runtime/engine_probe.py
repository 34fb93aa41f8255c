"""Checking and timing one engine on the golden inputs of a model, a run at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator

import numpy as np

from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime.engines.base import Engine
from semantic_palette_services.runtime.golden import GoldenSamples
from semantic_palette_services.runtime.item_queue import Arrays
from semantic_palette_services.runtime.parity import ParityReport, compare

# Golden samples that are also answered one by one: that is another shape, for which engines may plan otherwise.
SINGLES = 2
# No further batch of golden samples is run once the engine has run for this time.
PARITY_SECONDS = 1.0
# A candidate is timed at one batch size until it has so many runs, or so much time has gone by; the runs of the parity
# check count.
MAX_RUNS, TIMING_SECONDS = 7, 0.15


class EngineProbe:
    """Runs an engine on the golden inputs, in batches and one by one, and times every run.

    Args:
        engine: the engine.
        entry: the manifest's description of its model.
        golden: the golden samples of the model.
        max_batch_size: the largest batch that it would be given.
    """

    def __init__(self, engine: Engine, entry: ModelEntry, golden: GoldenSamples, max_batch_size: int) -> None:
        self._engine = engine
        self._attributes = entry.attributes
        self._golden = golden
        self._count = len(golden)
        self._max_batch_size = max_batch_size
        self._seconds = 0.0
        self._runs: dict[int, list[float]] = {1: [], max_batch_size: []}

    def check_parity(self) -> Generator[None, None, ParityReport]:
        """Hold the answers to the golden samples, those of the first few also when run alone, against the golden ones.

        A slow engine answers fewer batches, so that a server with a large model still starts in seconds.
        """
        slices = [(index, index + 1) for index in range(min(SINGLES, self._count))]
        parts = []
        for single in slices:
            parts.append(self._run(*single))
            yield
        for start in range(0, self._count, self._max_batch_size):
            if start and self._seconds > PARITY_SECONDS:
                break
            slices.append((start, min(start + self._max_batch_size, self._count)))
            parts.append(self._run(*slices[-1]))
            yield
        rows = [row for start, stop in slices for row in range(start, stop)]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        report = compare(self._engine.precision, self._golden, rows, outputs, self._attributes)
        return ParityReport(report.passed, f"{len(set(rows))} golden samples: {report.reason}")

    def median_seconds(self) -> Generator[None, None, dict[int, float]]:
        """Median seconds of a batch of 1 and of the largest; the first run of each size only warms the engine up."""
        for size, runs in self._runs.items():
            rows = np.arange(size) % self._count
            batch = {name: array[rows] for name, array in self._golden.inputs.items()}
            while len(runs) < 2 or (len(runs) <= MAX_RUNS and sum(runs[1:]) < TIMING_SECONDS):
                self._time(batch, size)
                yield
        return {size: statistics.median(runs[1:]) for size, runs in sorted(self._runs.items())}

    def _run(self, start: int, stop: int) -> Arrays:
        batch = {name: array[start:stop] for name, array in self._golden.inputs.items()}
        return self._time(batch, stop - start)

    def _time(self, batch: Arrays, size: int) -> Arrays:
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        seconds = time.perf_counter() - started
        self._seconds += seconds
        if size in self._runs:
            self._runs[size].append(seconds)
        return outputs
