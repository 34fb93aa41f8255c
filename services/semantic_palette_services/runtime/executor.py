"""One thread a device, shared by every model on it.

Two models that compute at the same time on the same cores slow each other down and make every estimate of batch time
wrong. So each device has one thread, and what wants the device (a `WorkSource`, such as the batcher of a model) waits
for its turn. A source is asked for work only when its turn has come: a batch that is formed earlier would leave out
whatever arrives while another model computes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from semantic_palette_services.runtime.errors import EngineDiedError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class WorkSource(Protocol):
    """Something that needs a device from time to time."""

    def run_turn(self) -> None:
        """Take one unit of work and run it, in the device's thread. An exception that leaves it ends the device."""

    def has_work(self) -> bool:
        """Whether another turn is wanted; called from any thread."""

    def predict_seconds(self, turns: int) -> float:
        """Expected device time of the next ``turns`` turns, 0 where nothing is known; called from any thread."""

    def running_seconds_left(self) -> float:
        """Expected rest of the turn that is running, 0 if none is or nothing is known; called from any thread."""

    def abandon(self, error: EngineDiedError) -> None:
        """The device has died or was closed: fail everything that is waiting."""


class DeviceExecutor:
    """The thread of one device; sources take turns in the order in which they became ready (round robin).

    A source that wants more goes to the end of the line, so with S busy sources nobody waits for more than S - 1
    turns of others, whatever their load.

    Args:
        name: name of the device, for the thread and for messages.
    """

    def __init__(self, name: str = "cpu") -> None:
        self.name = name
        self._condition = threading.Condition()
        self._ready: dict[WorkSource, None] = {}
        self._sources: set[WorkSource] = set()
        self._running: WorkSource | None = None
        self._closing = False
        self._death: str | None = None
        self._jobs = _Jobs(name)
        self._sources.add(self._jobs)
        self._thread = threading.Thread(target=self._main, name=f"device-{name}", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the device thread runs and accepts work."""
        return self._death is None and not self._closing

    def register(self, source: WorkSource) -> None:
        """Let a source announce work.

        Raises:
            EngineDiedError: the device has died or is closed.
        """
        with self._condition:
            self._check_alive(self.name)
            self._sources.add(source)

    def announce(self, source: WorkSource) -> None:
        """A registered source has work; it gets a turn. Announcing twice before the turn is the same as once."""
        with self._condition:
            if source in self._sources:
                self._ready.setdefault(source)
                self._condition.notify_all()

    async def unregister(self, source: WorkSource) -> None:
        """Give the source no further turn; returns when a turn that it has now is over."""
        with self._condition:
            self._sources.discard(source)
            self._ready.pop(source, None)
            busy = self._running is source
        if busy:
            await asyncio.to_thread(self._wait_until_not_running, source)

    def expected_wait(self, source: WorkSource, turns: int) -> float:
        """Estimated seconds that others keep the device while ``source`` waits for and has its next ``turns`` turns.

        The rest of a turn that is running counts, even if it is the source's own.
        """
        with self._condition:
            left = self._running.running_seconds_left() if self._running is not None else 0.0
            others = sum(other.predict_seconds(turns) for other in self._ready if other is not source)
        return left + others

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run a one-off job, such as loading or measuring an engine, in the device's thread, when its turn comes.

        A job whose caller gives up before its turn is not run.

        Raises:
            EngineDiedError: the device has died or is closed.
        """
        with self._condition:
            self._check_alive(self.name)
            future = self._jobs.add(function)
        self.announce(self._jobs)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Stop the thread after the turn that is running; what still waits fails with EngineDiedError."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        await asyncio.to_thread(self._thread.join)

    def _check_alive(self, name: str) -> None:
        if self._death is not None:
            raise EngineDiedError(name, self._death)
        if self._closing:
            raise EngineDiedError(name, "the device is closed")

    def _wait_until_not_running(self, source: WorkSource) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._running is not source)

    def _main(self) -> None:
        reason = "the device is closed"
        try:
            while (source := self._next()) is not None:
                source.run_turn()
                self._finish(source)
        except BaseException as error:
            # Whatever it was, no further turn will come: say so to everybody who waits, instead of hanging them.
            reason = f"{type(error).__name__}: {error}"
            logger.exception("device %s died", self.name)
        finally:
            self._bury(reason)

    def _next(self) -> WorkSource | None:
        with self._condition:
            self._condition.wait_for(lambda: self._closing or self._ready)
            if self._closing:
                return None
            source = next(iter(self._ready))
            del self._ready[source]
            self._running = source
            return source

    def _finish(self, source: WorkSource) -> None:
        with self._condition:
            self._running = None
            if source in self._sources and source.has_work():
                self._ready.setdefault(source)
            self._condition.notify_all()

    def _bury(self, reason: str) -> None:
        with self._condition:
            self._death = reason
            self._running = None
            sources = list(self._sources)
            self._ready.clear()
            self._condition.notify_all()
        for source in sources:
            source.abandon(EngineDiedError(self.name, reason))


class _Jobs:
    """One-off jobs as a work source: one job a turn, first come first served."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._queue: deque[tuple[Callable[[], Any], Future[Any]]] = deque()

    def add(self, function: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        self._queue.append((function, future))
        return future

    def run_turn(self) -> None:
        if not self._queue:
            return
        function, future = self._queue.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function()
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(EngineDiedError(self._device, f"{type(error).__name__}: {error}"))
            raise
        else:
            future.set_result(result)

    def has_work(self) -> bool:
        return bool(self._queue)

    def predict_seconds(self, turns: int) -> float:
        return 0.0

    def running_seconds_left(self) -> float:
        return 0.0

    def abandon(self, error: EngineDiedError) -> None:
        while self._queue:
            _, future = self._queue.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
