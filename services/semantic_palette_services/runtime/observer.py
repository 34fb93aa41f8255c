"""What the runtime tells whoever watches it, such as the Prometheus metrics of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from semantic_palette_services.tracing import Span

ShedReason: TypeAlias = Literal["queue_full", "wait", "deadline", "drain"]
CancelStage: TypeAlias = Literal["queued", "running"]
RestartReason: TypeAlias = Literal["died", "hung", "failed"]
DeviceState: TypeAlias = Literal["up", "down", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExecutedBatch:
    """A batch that has been answered.

    Attributes:
        model: name of the model.
        seconds: how long it held the device.
        queue_seconds: how long each item had waited.
        spans: the span that each item is part of; None where tracing is off.
        span: of the batch; None where no item is recorded.
    """

    model: str
    seconds: float
    queue_seconds: Sequence[float]
    spans: Sequence[Span | None]
    span: Span | None

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.queue_seconds)


class BatchObserver(Protocol):
    """Receives the events of batchers, always in the thread of the event loop; must be quick."""

    def batch_executed(self, batch: ExecutedBatch) -> None:
        """A batch has been answered."""

    def batch_failed(self, model: str, seconds: float) -> None:
        """The model failed on a batch that held the device for ``seconds``; each of several items runs again, alone."""

    def shed(self, model: str, reason: ShedReason) -> None:
        """An item was refused at admission, or dropped from the queue because its deadline had passed."""

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """The caller of an accepted item gave up on it."""

    def queue_depth(self, model: str, depth: int) -> None:
        """So many items are queued now."""

    def inflight(self, model: str, delta: int) -> None:
        """An item was accepted (+1), or its caller has been answered or has gone (-1)."""


class DeviceObserver(Protocol):
    """Is told what becomes of a device, in the thread of the event loop; must be quick."""

    def engine_restarted(self, reason: RestartReason) -> None:
        """A restart begins, because a thread or an engine died or hung, or because the restart before has failed."""

    def device_changed(self, state: DeviceState) -> None:
        """Engines have died, have been restarted, or cannot be restarted, for all that is known."""


class NullObserver:
    """Watches nothing; the default."""

    def batch_executed(self, batch: ExecutedBatch) -> None:
        """Ignore the event."""

    def batch_failed(self, model: str, seconds: float) -> None:
        """Ignore the event."""

    def shed(self, model: str, reason: ShedReason) -> None:
        """Ignore the event."""

    def cancelled(self, model: str, stage: CancelStage) -> None:
        """Ignore the event."""

    def queue_depth(self, model: str, depth: int) -> None:
        """Ignore the event."""

    def inflight(self, model: str, delta: int) -> None:
        """Ignore the event."""
