"""What may be chosen about the runtime."""

from __future__ import annotations

from dataclasses import dataclass

from semantic_palette.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeSettings:
    """How models are loaded and batched.

    Attributes:
        engine: "auto" for the fastest that passes parity, or the name of one, such as "onnxruntime" or
            "openvino-bf16".
        threads: threads that an engine computes with; 0 for one a core.
        max_batch_size: most items in a batch.
        max_queue: most items of one model that may wait.
    """

    engine: str = "auto"
    threads: int = 0
    max_batch_size: int = 8
    max_queue: int = 256

    def __post_init__(self) -> None:
        for field, least in (("threads", 0), ("max_batch_size", 1), ("max_queue", 1)):
            if getattr(self, field) < least:
                raise InvalidInputError(field, getattr(self, field), f"at least {least}")
