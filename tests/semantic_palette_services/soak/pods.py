"""Server processes on fixed ports, which are started again when they end, as Kubernetes would."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import COMMAND, scrape

START_SECONDS = 120.0
PORTS = 4

# Below the range from which the system takes ports for connections: a port that is free for a moment, while its server
# is started again, has to stay free.
_PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    found: list[int] = []
    for port in random.Random(os.getpid()).sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no ports are free")


class Pod:
    """One ``semantic-palette serve``.

    Args:
        name: of it.
        ports: `PORTS` that are free, for services, administration, health and metrics.
        folder: for its log.
        arguments: of ``serve``, without ports.
        environment: for the process.
    """

    def __init__(
        self, name: str, ports: Sequence[int], folder: Path, arguments: Sequence[str], environment: dict[str, str]
    ) -> None:
        self.name = name
        self.port, self.admin_port, self.health_port, self.metrics_port = ports
        self.log = folder / f"{name}.log"
        own = {"": self.port, "admin-": self.admin_port, "health-": self.health_port, "metrics-": self.metrics_port}
        listen = [word for kind, port in own.items() for word in (f"--{kind}port", str(port))]
        self._command = [str(COMMAND), "serve", "--host", "127.0.0.1", *listen, *arguments]
        self._environment = os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        async with asyncio.timeout(START_SECONDS), aio.insecure_channel(f"127.0.0.1:{self.health_port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="readiness")
            while self.alive:
                try:
                    answer = await health.Check(request, wait_for_ready=True, timeout=1.0)
                except aio.AioRpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        raise
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} did not start:\n{self.log.read_text()}")

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the status."""
        assert self._process is not None
        self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, START_SECONDS)

    async def freeze(self, seconds: float) -> None:
        """Stop the process for a while without ending it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process now, if it runs."""
        if self.alive:
            assert self._process is not None
            self._process.kill()
            self._process.wait()

    async def metrics(self, *prefixes: str) -> dict[str, float]:
        """The samples at its metrics port whose names begin so."""
        samples = await asyncio.to_thread(scrape, self.metrics_port)
        return {name: value for name, value in samples.items() if name.startswith(prefixes)}

    def errors(self) -> list[str]:
        """What it logged that is an error."""
        return [line for line in self.log.read_text().splitlines() if '"level": "error"' in line.lower()]

    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))
