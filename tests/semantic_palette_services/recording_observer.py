"""An observer for tests: remembers what batchers tell, and adds the gauges up."""

from __future__ import annotations

from collections import Counter, defaultdict

from semantic_palette_services.runtime.observer import CancelStage, ExecutedBatch, ShedReason


class RecordingObserver:
    """Remembers every event of every model."""

    def __init__(self) -> None:
        self.sizes: dict[str, list[int]] = defaultdict(list)
        self.depth: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.sheds: list[tuple[str, ShedReason]] = []
        self.cancels: list[tuple[str, CancelStage]] = []
        self.lowest_in_flight = 0

    def batch_executed(self, batch: ExecutedBatch) -> None:
        assert len(batch.queue_seconds) == len(batch.spans) == batch.size
        assert batch.seconds >= 0.0
        self.sizes[batch.model].append(batch.size)

    def batch_failed(self, model: str, seconds: float) -> None:
        assert seconds >= 0.0
        self.failures[model] += 1

    def shed(self, model: str, reason: ShedReason) -> None:
        self.sheds.append((model, reason))

    def cancelled(self, model: str, stage: CancelStage) -> None:
        self.cancels.append((model, stage))

    def queue_depth(self, model: str, depth: int) -> None:
        self.depth[model] = depth

    def inflight(self, model: str, delta: int) -> None:
        self.in_flight[model] += delta
        self.accepted[model] += max(delta, 0)
        self.lowest_in_flight = min(self.lowest_in_flight, self.in_flight[model])
