"""grpc.health.v1, Check and Watch, per service and for the server as a whole ("").

The servicer of grpcio-health-checking forgets its other watchers of a service when one of them leaves, and lets a
watcher that does not read hold up every change. A server that drains relies on both, so this one is our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthServicer

from semantic_palette_services.call_context import Context

HEALTH_SERVICE = "grpc.health.v1.Health"
READINESS = "readiness"
LIVENESS = "liveness"

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(HealthServicer):
    """The health of a server: whether it is ready, and whether it lives.

    "", "readiness" and the services say the same: SERVING from when the models are loaded and warm until the server
    drains, but for the time in which engines that have died are restarted. "liveness" is SERVING from the start, and
    NOT_SERVING while engines cannot be restarted, which a new process may mend.

    Args:
        services: full names of the services.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._status = dict.fromkeys(("", READINESS, *services), NOT_SERVING) | {LIVENESS: SERVING}
        self._wanted = False
        self._computing = True
        self._final = False
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the services serve now."""
        return self._status[""] == SERVING

    @property
    def alive(self) -> bool:
        """Whether the process can go on, or should be replaced."""
        return self._status[LIVENESS] == SERVING

    def set_ready(self, ready: bool) -> None:
        """Say whether the services serve, and tell every watcher. After `drain` it changes nothing."""
        if not self._final:
            self._wanted = ready
            self._update()

    def set_computing(self, computing: bool) -> None:
        """Say whether the engines live. Without them no service is ready."""
        self._computing = computing
        self._update()

    def set_alive(self, alive: bool) -> None:
        """Say whether the process can go on, or should be replaced."""
        status = SERVING if alive else NOT_SERVING
        if status != self._status[LIVENESS]:
            self._status[LIVENESS] = status
            self._tell()

    def drain(self) -> None:
        """Not ready, for good: the server is stopping."""
        self.set_ready(False)
        self._final = True

    def end_watches(self) -> None:
        """End every watch: a server cannot stop while one is open."""
        self._ended = True
        self._tell()

    def _update(self) -> None:
        ready = self._wanted and self._computing
        if ready != self.ready:
            status = SERVING if ready else NOT_SERVING
            self._status.update({service: status for service in self._status if service != LIVENESS})
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(  # noqa: N802 - the name of the RPC
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a service that is not served here."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:200]!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the name of the RPC
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """The status now and at every change, until the watcher leaves or the server stops."""
        last = None
        while True:
            changed = self._changed
            status = self._status.get(request.service, _UNKNOWN)
            if status != last:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                last = status
            if self._ended:
                return
            await changed.wait()
