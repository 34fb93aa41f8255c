"""The servers under test, from outside: alive, healthy, idle again, and no larger than they were."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_helpers import ServerProcess, scrape, serving_in_process
from secret_files import TOKEN, write_tokens
from tiny_bundle import EDITING, corrupt, write_tiny_bundle

from fuzz import corpus
from fuzz.calls import PATIENCE, channel_to
from fuzz.methods import Method, served_methods
from semantic_palette.credentials import Credentials, Metadata

SERVERS = ("everything", "factory", "admin")
"""Names of the servers under test."""

MOST_GROWTH_MIB = 256.0
"""How much larger than after the first calls a server may become: enough for the largest requests, for no leak."""

_BUSY = ("semantic_palette_inflight_", "semantic_palette_queue_depth")


@dataclass
class Target:
    """A server under test.

    Attributes:
        name: of the server.
        process: it.
        address: the port of it that is called.
        methods: what that answers.
        calls: how many calls to make in a round.
        metadata: what every call carries.
        canaries: what it answered to valid deterministic requests before the fuzzing, by method and request.
        size: its resident memory in MiB after that.
    """

    name: str
    process: ServerProcess
    address: str
    methods: list[Method]
    calls: int
    metadata: Metadata = ()
    canaries: dict[tuple[str, bytes], list[bytes]] = field(default_factory=dict)
    size: float = 0.0

    def memory(self) -> float:
        """Its resident memory in MiB."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    async def settle(self) -> None:
        """Remember what it answers now."""
        async with channel_to(self.address) as channel:
            self.canaries = {key: await _ask(channel, self._method(key[0]), key[1]) for key in self._canary_keys()}
        self.size = self.memory()

    async def faults(self) -> list[str]:
        """What is wrong with it, while nothing is asked of it."""
        if self.process.process.poll() is not None:
            return [f"{self.name} has ended with status {self.process.process.returncode}"]
        found = [f"{self.name}: {name} is still {value}" for name, value in (await self._leftovers()).items()]
        async with channel_to(self.process.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for service in ("readiness", "liveness"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    found.append(f"{self.name}: {service} is lost")
            for (path, data), before in self.canaries.items():
                if await _ask(channel, self._method(path), data) != before:
                    found.append(f"{self.name}: {path} answers other bytes than at first to {data.hex()}")
        if self.memory() > self.size + MOST_GROWTH_MIB:
            found.append(f"{self.name}: grew from {self.size:.0f} to {self.memory():.0f} MiB")
        return found

    async def _leftovers(self) -> dict[str, float]:
        """Gauges of work under way that do not return to 0."""
        give_up = time.monotonic() + PATIENCE
        while True:
            samples = await asyncio.to_thread(scrape, self.process.metrics_port)
            busy = {name: value for name, value in samples.items() if name.startswith(_BUSY) and value != 0}
            if not busy or time.monotonic() > give_up:
                return busy
            await asyncio.sleep(0.1)

    def _canary_keys(self) -> list[tuple[str, bytes]]:
        served = {method.path for method in self.methods}
        return [
            (path, request.SerializeToString(deterministic=True))
            for path, requests in corpus.REQUESTS.items()
            for request in requests
            if path in served and getattr(request, "deterministic", False)
        ]

    def _method(self, path: str) -> Method:
        return next(method for method in self.methods if method.path == path)


async def _ask(channel: aio.Channel, method: Method, data: bytes) -> list[bytes]:
    """What a valid request is answered, with maps in a fixed order."""
    if method.takes_stream:
        answers = [answer async for answer in channel.stream_stream(method.path)([data], timeout=PATIENCE)]
    elif method.streams:
        answers = [answer async for answer in channel.unary_stream(method.path)(data, timeout=PATIENCE)]
    else:
        answers = [await channel.unary_unary(method.path)(data, timeout=PATIENCE)]
    return [method.response.FromString(answer).SerializeToString(deterministic=True) for answer in answers]


@contextmanager
def targets(folder: Path, poison: Collection[str] = ()) -> Iterator[list[Target]]:
    """All services in one process; a factory whose stages are those of the first; the admin port of a third.

    Args:
        folder: for the model stores.
        poison: models that fail on some inputs (`write_tiny_bundle`).
    """
    store, changing = folder / "model_store", folder / "changing_store"
    write_tiny_bundle(store, models=(*EDITING, "style_encoder"), image="styled", poison=poison)
    for version in ("1", "2", "3"):
        write_tiny_bundle(changing, version=version, activate=version == "1")
    corrupt(changing / "tiny" / "3" / "image.onnx")
    with ExitStack() as stack:
        everything = stack.enter_context(serving_in_process(store))
        stages = [f"--{stage}-address={everything.address}" for stage in ("palette", "layout", "image")]
        # Its traces go to a collector that is not there, which has to change nothing.
        traced = ("--services", "factory", "--otlp-endpoint", "http://127.0.0.1:1", *stages)
        factory = stack.enter_context(serving_in_process(store, *traced))
        tokens = write_tokens(folder / "tokens.json", {"name": "both", "token": TOKEN, "scopes": ["generate", "admin"]})
        guarded = {"SEMANTIC_PALETTE_AUTH_TOKENS": str(tokens)}
        options = ("--services", "layout,image", "--admin-port", "0")
        admin = stack.enter_context(serving_in_process(changing, *options, environment=guarded))
        said = re.search(r"admin services at ([\d.:]+)", "".join(admin.log))
        assert said is not None
        metadata = Credentials(token=TOKEN).metadata()
        yield [
            Target("everything", everything, everything.address, served_methods(everything.address), calls=320),
            # Its health is the same code as the other's.
            Target(
                "factory", factory, factory.address, [m for m in served_methods(factory.address) if m.ours], calls=60
            ),
            Target("admin", admin, said[1], served_methods(said[1], metadata), calls=120, metadata=metadata),
        ]
