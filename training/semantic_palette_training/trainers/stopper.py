"""When training should end early: at a deadline, or after SIGTERM or SIGINT."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any


class Stopper:
    """Collects SIGTERM and SIGINT while it is entered, instead of letting them kill the process.

    Enter it around everything that must not be cut, so that no signal falls between two stages.
    """

    def __init__(self, deadline: float | None = None) -> None:
        """`deadline` is a `time.monotonic()`; None for no limit."""
        self.deadline = deadline
        self._received = False
        self._previous: dict[int, Any] = {}

    @property
    def due(self) -> bool:
        """Whether to stop now."""
        return self._received or (self.deadline is not None and time.monotonic() >= self.deadline)

    def __enter__(self) -> "Stopper":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = True
