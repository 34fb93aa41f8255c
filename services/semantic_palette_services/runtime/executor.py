"""One thread a device, shared by every model on it.

Two models that compute at the same time on the same cores slow each other down and make every estimate of batch time
wrong. So each device has one thread, and what wants the device (a `WorkSource`, such as the batcher of a model) waits
for its turn (`TurnOrder`). A source is asked for work only when its turn has come: a batch that is formed earlier would
leave out whatever arrives while another model computes.

A thread that dies, or whose turn takes longer than allowed, is lost with everything that waits for it. A hung thread
cannot be ended: it is left to itself, and what it brings back after all is dropped. `DeviceExecutor.restart` starts
another thread, in which the engines have to be loaded again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

from semantic_palette.priority import Priority
from semantic_palette_services.runtime.device_jobs import DeviceJobs
from semantic_palette_services.runtime.errors import EngineDiedError
from semantic_palette_services.runtime.turn_order import TurnOrder
from semantic_palette_services.runtime.work_source import Tenant, WorkSource

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
DeathCause: TypeAlias = Literal["died", "hung"]

# A job loads engines or runs them a few times; loading may compile a model.
_JOB_RUNS = 5
_JOIN_SECONDS = 0.1
_FIRST_BACK_IN, _LONGEST_BACK_IN = 1.0, 30.0


class DeviceExecutor:
    """The thread of one device.

    Args:
        name: name of the device, for the thread and for messages.
        hang_seconds: how long a turn may take before the thread counts as hung; 0 for any time.

    Attributes:
        tenants: the models that live on the device.
    """

    def __init__(self, name: str = "cpu", hang_seconds: float = 0.0) -> None:
        self.name = name
        self.tenants: set[Tenant] = set()
        self._back_in_seconds = _FIRST_BACK_IN
        self._down_since: float | None = None
        self._hang_seconds = hang_seconds or math.inf
        self._condition = threading.Condition()
        self._order: TurnOrder[WorkSource] = TurnOrder()
        self._sources: set[WorkSource] = set()
        self._running: WorkSource | None = None
        self._turn_started = 0.0
        self._closing = False
        self._death: str | None = None
        self._cause: DeathCause = "died"
        self._on_trouble: Callable[[], None] = lambda: None
        self._jobs = DeviceJobs(name)
        self._sources.add(self._jobs)
        self._generation = 0
        self._thread = self._start_thread()

    @property
    def healthy(self) -> bool:
        """Whether the device's thread runs and accepts work."""
        return self._death is None and not self._closing

    @property
    def cause_of_death(self) -> DeathCause | None:
        """What became of the device's thread; None while it lives."""
        return None if self._death is None else self._cause

    @property
    def back_in_seconds(self) -> float:
        """After what time callers should try again while it is down: the later, the longer that has been, because they
        try only so often, and nobody knows how long loading the engines takes."""
        down = 0.0 if self._down_since is None else time.monotonic() - self._down_since
        return max(self._back_in_seconds, min(down, _LONGEST_BACK_IN))

    def mark_down(self, back_in_seconds: float) -> None:
        """Engines are down, and not back before so many seconds have passed."""
        self._back_in_seconds = back_in_seconds
        if self._down_since is None:
            self._down_since = time.monotonic()

    def mark_up(self) -> None:
        """All engines are back."""
        self._back_in_seconds = _FIRST_BACK_IN
        self._down_since = None

    @property
    def runs_here(self) -> bool:
        """Whether the calling thread is the device's, and not one that was given up."""
        return self._death is None and threading.current_thread() is self._thread

    def on_trouble(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from any thread, when the device or an engine of a tenant dies."""
        self._on_trouble = callback

    def report_trouble(self) -> None:
        """An engine has died; called from any thread."""
        self._on_trouble()

    def register(self, source: WorkSource) -> None:
        """Let a source announce work.

        Raises:
            EngineDiedError: the device has died or is closed.
        """
        with self._condition:
            self._check_alive()
            self._sources.add(source)

    def announce(self, source: WorkSource) -> None:
        """A registered source has work; it gets a turn. Announcing twice before the turn is the same as once."""
        with self._condition:
            if source in self._sources:
                self._order.enter(source, time.monotonic())
                self._condition.notify_all()

    async def unregister(self, source: WorkSource) -> None:
        """Give the source no further turn; returns when a turn that it has now is over."""
        with self._condition:
            self._sources.discard(source)
            self._order.leave(source)
            busy = self._running is source
        if busy:
            await asyncio.to_thread(self._wait_until_not_running, source)

    def expected_wait(self, source: WorkSource, turns: int, priority: Priority) -> float:
        """Estimated seconds that others keep the device while ``source`` waits for and has its next turns.

        The rest of a turn that is running counts, even if it is the source's own. Others have as many turns as the
        source; those with interactive work have them all before a source with bulk work.

        Args:
            source: who waits.
            turns: how many turns it waits for.
            priority: of its work.
        """
        with self._condition:
            seconds = self._running.running_seconds_left() if self._running is not None else 0.0
            for other in self._order.waiting(priority):
                if other is not source:
                    seconds += other.predict_seconds(turns, priority)
            if priority is Priority.BULK:
                for other in self._order.waiting(Priority.INTERACTIVE):
                    if other is not source:
                        seconds += other.predict_seconds(math.inf, Priority.INTERACTIVE)
        return seconds

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run a one-off job, such as loading or measuring an engine, in the device's thread, when its turn comes.

        A job whose caller gives up before its turn is not run.

        Raises:
            EngineDiedError: the device has died or is closed.
        """
        with self._condition:
            self._check_alive()
            future = self._jobs.add(function)
        self.announce(self._jobs)
        return await asyncio.wrap_future(future)

    def give_up_hung_turn(self) -> None:
        """If the turn that is running takes too long, count the thread as hung and fail everything that waits."""
        with self._condition:  # in one step: the next turn has done nothing wrong
            seconds = time.monotonic() - self._turn_started
            longest = self._hang_seconds * (_JOB_RUNS if self._running is self._jobs else 1)
            if self._running is not None and seconds > longest:
                logger.error("device %s has not come back for %.1f s and is given up", self.name, seconds)
                self._bury(self._generation, f"no answer for {seconds:.1f} s", "hung")

    def restart(self) -> None:
        """Start another thread for a device that has died; does nothing to one that lives or was closed."""
        with self._condition:
            if self._death is None or self._closing:
                return
            self._thread = self._start_thread()  # first: where no thread can be had, the device stays dead
            self._death = None

    async def close(self) -> None:
        """Stop the thread after the turn that is running; what still waits fails with EngineDiedError."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        while self._death is None:
            self._thread.join(_JOIN_SECONDS)
            self.give_up_hung_turn()

    def _check_alive(self) -> None:
        if self._death is not None:
            raise EngineDiedError(self.name, self._death)
        if self._closing:
            raise EngineDiedError(self.name, "the device is closed")

    def _wait_until_not_running(self, source: WorkSource) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._running is not source)

    # The device's thread. Each has a generation; that of a thread that was given up is not the current one.

    def _start_thread(self) -> threading.Thread:
        self._generation += 1
        name = f"device-{self.name}"
        thread = threading.Thread(target=self._main, args=(self._generation,), name=name, daemon=True)
        thread.start()
        return thread

    def _main(self, generation: int) -> None:
        reason = "the device is closed"
        try:
            while (turn := self._next(generation)) is not None:
                source, lead = turn
                source.run_turn(lead)
                self._finish(generation, source, lead)
        except BaseException as error:
            # Whatever it was, no further turn will come: say so to everybody who waits, instead of hanging them.
            reason = f"{type(error).__name__}: {error}"
            logger.exception("device %s died", self.name)
        finally:
            self._bury(generation, reason, "died")

    def _next(self, generation: int) -> tuple[WorkSource, Priority] | None:
        with self._condition:
            while True:
                if self._closing or generation != self._generation:
                    return None
                now = time.monotonic()
                turn = self._order.next(now)
                if turn is not None:
                    self._running, self._turn_started = turn[0], now
                    return turn
                self._condition.wait()

    def _finish(self, generation: int, source: WorkSource, lead: Priority) -> None:
        with self._condition:
            if generation != self._generation:
                return
            now = time.monotonic()
            self._running = None
            self._order.ended(lead, now - self._turn_started, now)
            # Whoever has work is in line from now on, announced or not: a busy event loop may take a while to announce.
            # The source that has just had its turn comes last.
            for other in self._sources - {source}:
                self._order.enter(other, now)
            if source in self._sources:
                self._order.enter(source, now)
            self._condition.notify_all()

    def _bury(self, generation: int, reason: str, cause: DeathCause) -> None:
        with self._condition:
            if generation != self._generation:
                return  # it was given up before
            self._generation += 1
            self._death, self._cause = reason, cause
            sources = set(self._sources)
            if self._running is not None:  # it may have been unregistered, and wait for its turn to be over
                sources.add(self._running)
            self._running = None
            self._order.clear()
            closing = self._closing
            self._condition.notify_all()
        for source in sources:
            source.abandon(EngineDiedError(self.name, reason))
        if not closing:
            self._on_trouble()
