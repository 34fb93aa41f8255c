"""Brings engines back that have died, or hang.

When the thread of a device dies or hangs, or an engine says that it is beyond repair, everything that waits for it has
failed already (`DeviceExecutor`, `Batcher`). The supervisor starts a new thread where the old one is lost, loads the
engines of all models that do not answer again, in that thread, and lets each accept work as soon as it has been seen to
answer. The first attempt comes at once; after one that failed, or an engine that did not live for long, the next waits
twice as long. Once several have failed in a row it says that the engines are lost, and goes on trying: whoever can
replace the process should do that.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.observer import DeviceObserver, RestartReason

logger = logging.getLogger(__name__)

# Seconds before the second attempt in a row, and before any.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Failures in a row after which the engines count as lost.
FAILURES_TO_LOSE = 5
# Engines that die sooner after a restart than this have not been mended by it.
MENDED_SECONDS = 60.0
# How many times a turn that hangs is looked at before it counts as hung, and how long at most between two looks.
_LOOKS, _LONGEST_LOOK = 10.0, 1.0


class Supervisor:
    """Watches one device. Start and stop it in the event loop that uses the device.

    Args:
        executor: the device; its tenants are what is loaded again.
        hang_seconds: the executor's, 0 for never: decides how often it is looked at.
        observer: is told of every restart, and of every change of state.
    """

    def __init__(self, executor: DeviceExecutor, hang_seconds: float, observer: DeviceObserver) -> None:
        self._executor = executor
        self._look_seconds = min(hang_seconds / _LOOKS, _LONGEST_LOOK)
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._trouble = asyncio.Event()
        self._failures = 0
        self._mended_at: float | None = None
        executor.on_trouble(self._notice)
        self._tasks = [asyncio.create_task(self._mend_forever())]
        if hang_seconds:
            self._tasks.append(asyncio.create_task(self._look_forever()))

    async def stop(self) -> None:
        """Restart nothing any more."""
        self._executor.on_trouble(lambda: None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _notice(self) -> None:
        with suppress(RuntimeError):  # a loop that is closed has nobody left who would restart anything
            self._loop.call_soon_threadsafe(self._trouble.set)

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self._executor.give_up_hung_turn()

    async def _mend_forever(self) -> None:
        while True:
            await self._trouble.wait()
            self._trouble.clear()
            if self._broken():
                await self._mend()

    def _broken(self) -> bool:
        return not (self._executor.healthy and all(tenant.healthy for tenant in self._executor.tenants))

    async def _mend(self) -> None:
        self._observer.device_changed("down")
        reason: RestartReason = self._executor.cause_of_death or "died"
        if self._mended_at is None or self._loop.time() - self._mended_at > MENDED_SECONDS:
            self._failures = 0
        else:
            self._failures += 1
        while True:
            await self._pause()
            self._observer.engine_restarted(reason)
            try:
                await self._restart()
            except Exception:
                logger.exception("engines of device %s cannot be restarted", self._executor.name)
                self._failures += 1
                reason = "failed"
            else:
                break
        logger.warning("engines of device %s have been restarted", self._executor.name)
        self._executor.mark_up()
        self._mended_at = self._loop.time()
        self._observer.device_changed("up")

    async def _pause(self) -> None:
        if self._failures >= FAILURES_TO_LOSE:
            self._observer.device_changed("lost")
        pause = min(FIRST_PAUSE * 2.0 ** (self._failures - 1), LONGEST_PAUSE) if self._failures else 0.0
        self._executor.mark_down(max(pause, FIRST_PAUSE))
        await asyncio.sleep(pause)

    async def _restart(self) -> None:
        """Start the device if it is dead, and load again what does not answer; raises the first failure of all."""
        self._executor.restart()
        failures: list[Exception] = []
        for tenant in list(self._executor.tenants):
            if not tenant.healthy:
                try:
                    await tenant.reload()
                except Exception as error:
                    failures.append(error)
        if failures:
            raise failures[0]
