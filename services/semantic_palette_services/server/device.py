"""The device of a server, and the supervisor that keeps it alive."""

from __future__ import annotations

from contextlib import AsyncExitStack

from semantic_palette_services.runtime.executor import DeviceExecutor
from semantic_palette_services.runtime.observer import DeviceState, RestartReason
from semantic_palette_services.runtime.supervisor import Supervisor
from semantic_palette_services.server.health import Health
from semantic_palette_services.server.metrics import Metrics
from semantic_palette_services.server.settings import ServerSettings


class DeviceReport:
    """Tells the health and the metrics of a server what becomes of its device; see `DeviceObserver`."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def engine_restarted(self, reason: RestartReason) -> None:
        """See `DeviceObserver.engine_restarted`."""
        self._metrics.engine_restarted(reason)

    def device_changed(self, state: DeviceState) -> None:
        """See `DeviceObserver.device_changed`."""
        self._health.set_computing(state == "up")
        self._health.set_alive(state != "lost")


def open_device(settings: ServerSettings, health: Health, metrics: Metrics, stack: AsyncExitStack) -> DeviceExecutor:
    """Start a device, and its supervision; both end with the stack, after whatever uses the device."""
    executor = DeviceExecutor(hang_seconds=settings.engine_hang_seconds)
    stack.push_async_callback(executor.close)
    supervisor = Supervisor(executor, settings.engine_hang_seconds, DeviceReport(health, metrics))
    stack.push_async_callback(supervisor.stop)
    return executor
