"""What may be chosen about the runtime."""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError
from semantic_palette_services.runtime.admission import QueueLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """How models are loaded and batched.

    Attributes:
        engine: "auto" for the fastest that passes parity, or the name of one, such as "onnxruntime" or
            "openvino-bf16".
        threads: threads that an engine computes with; 0 for one a core.
        max_batch_size: most items in a batch.
        max_queue: most items of one model that may wait.
        max_queue_seconds: longest that an interactive item may be expected to wait for its batch when it is accepted;
            see `QueueLimits`.
    """

    engine: str = "auto"
    threads: int = 0
    max_batch_size: int = 8
    max_queue: int = 512
    max_queue_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field, least in (("threads", 0), ("max_batch_size", 1), ("max_queue", 1)):
            if getattr(self, field) < least:
                raise InvalidInputError(field, getattr(self, field), f"at least {least}")
        if not self.max_queue_seconds > 0.0:
            raise InvalidInputError("max_queue_seconds", self.max_queue_seconds, "more than 0")

    @property
    def queue_limits(self) -> QueueLimits:
        """What may wait for one model."""
        return QueueLimits(items=self.max_queue, seconds=self.max_queue_seconds)
