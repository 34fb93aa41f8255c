"""What the runtime tells whoever watches it, such as the Prometheus metrics of the server."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

ShedReason: TypeAlias = Literal["queue_full", "deadline", "drain"]
CancelStage: TypeAlias = Literal["queued", "running"]


class BatchObserver(Protocol):
    """Receives the events of batchers, always in the thread of the event loop; must be quick."""

    def batch_executed(self, model: str, size: int, seconds: float, queue_seconds: list[float]) -> None:
        """A batch of ``size`` items held the device for ``seconds``; ``queue_seconds`` has each item's wait."""

    def shed(self, model: str, reason: ShedReason) -> None:
        """An item was refused at admission, or dropped from the queue because its deadline had passed."""

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """The caller of an accepted item gave up on it."""

    def queue_depth(self, model: str, depth: int) -> None:
        """So many items are queued now."""

    def inflight(self, model: str, delta: int) -> None:
        """An item was accepted (+1), or its caller has been answered or has gone (-1)."""


class NullObserver:
    """Watches nothing; the default."""

    def batch_executed(self, model: str, size: int, seconds: float, queue_seconds: list[float]) -> None:
        """Ignore the event."""

    def shed(self, model: str, reason: ShedReason) -> None:
        """Ignore the event."""

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """Ignore the event."""

    def queue_depth(self, model: str, depth: int) -> None:
        """Ignore the event."""

    def inflight(self, model: str, delta: int) -> None:
        """Ignore the event."""
