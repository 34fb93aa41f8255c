"""One-off jobs of a device, such as loading and measuring engines, as a source of work: one job a turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.errors import EngineDiedError

Result = TypeVar("Result")


class DeviceJobs:
    """Jobs in the order in which they came. See `WorkSource`.

    Args:
        device: name of the device, for messages.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._queue: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._running: Future[Any] | None = None

    def add(self, function: Callable[[], Result]) -> Future[Result]:
        """Queue a job; the future gets what it returns or raises. A job whose future is cancelled is not run."""
        future: Future[Result] = Future()
        self._queue.append((function, future))
        return future

    def run_turn(self, lead: Priority) -> None:
        """See `WorkSource.run_turn`."""
        if not self._queue:
            return
        function, future = self._queue.popleft()
        if not future.set_running_or_notify_cancel():
            return
        self._running = future
        try:
            result = function()
        except Exception as error:
            _fail(future, error)
        except BaseException as error:
            _fail(future, EngineDiedError(self._device, f"{type(error).__name__}: {error}"))
            raise
        else:
            with suppress(InvalidStateError):  # it took too long: its caller was told so, and has gone
                future.set_result(result)
        finally:
            if self._running is future:  # which would keep what the job has loaded
                self._running = None

    def has_work(self, priority: Priority) -> bool:
        """See `WorkSource.has_work`."""
        return priority is Priority.INTERACTIVE and bool(self._queue)

    def predict_seconds(self, turns: float, priority: Priority) -> float:
        """See `WorkSource.predict_seconds`; nothing is known."""
        return 0.0

    def running_seconds_left(self) -> float:
        """See `WorkSource.running_seconds_left`; nothing is known."""
        return 0.0

    def abandon(self, error: EngineDiedError) -> None:
        """See `WorkSource.abandon`."""
        if (running := self._running) is not None:  # which ends at any time, in the device's thread
            _fail(running, error)
        while self._queue:
            _, future = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                _fail(future, error)


def _fail(future: Future[Any], error: BaseException) -> None:
    with suppress(InvalidStateError):  # whoever comes second changes nothing
        future.set_exception(error)
