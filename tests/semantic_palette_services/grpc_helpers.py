"""Servers to test against: in a thread of this process, or in a process of their own."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import grpc
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from secret_files import TOKEN, write_tokens

from semantic_palette.credentials import AuthorisedChannel, Credentials
from semantic_palette.v1.factory_service_pb2_grpc import FactoryServiceStub
from semantic_palette.v1.image_service_pb2_grpc import ImageServiceStub
from semantic_palette.v1.layout_service_pb2_grpc import LayoutServiceStub
from semantic_palette.v1.model_service_pb2_grpc import ModelServiceStub
from semantic_palette.v1.palette_service_pb2_grpc import PaletteServiceStub
from semantic_palette_services.access.callers import Scope
from semantic_palette_services.server.lifecycle import RunningServer, run_server
from semantic_palette_services.server.settings import ServerSettings

Parameters = ParamSpec("Parameters")

COMMAND = Path(sys.executable).with_name("semantic-palette")


def asynchronous(test: Callable[Parameters, Awaitable[None]]) -> Callable[Parameters, None]:
    """Run a test that is a coroutine in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


def local_settings(model_store: Path, **overrides: Any) -> ServerSettings:
    """Settings for a server on free ports of this machine, with an engine that needs no measuring."""
    defaults: dict[str, Any] = {
        "model_store": model_store,
        "engine": "onnxruntime",
        "engine_threads": 1,
        "host": "127.0.0.1",
        "port": 0,
        "health_port": 0,
        "metrics_port": 0,
    }
    return ServerSettings(**(defaults | overrides))


@dataclass(frozen=True)
class Stubs:
    """The four services at one address."""

    channel: Any
    palette: Any
    layout: Any
    image: Any
    factory: Any

    @classmethod
    def of(cls, channel: Any) -> Stubs:
        return cls(
            channel,
            PaletteServiceStub(channel),
            LayoutServiceStub(channel),
            ImageServiceStub(channel),
            FactoryServiceStub(channel),
        )


@asynccontextmanager
async def serving(model_store: Path, **overrides: Any) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    """A server in this event loop, and asynchronous stubs for it."""
    async with (
        run_server(local_settings(model_store, **overrides)) as server,
        aio.insecure_channel(server.address) as channel,
    ):
        yield server, Stubs.of(channel)


@asynccontextmanager
async def administering(model_store: Path, **overrides: Any) -> AsyncIterator[tuple[RunningServer, Stubs, Any]]:
    """A server with an admin port, stubs for its services, and one for its ModelService; all with a token for both."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = write_tokens(Path(folder) / "tokens.json", {"name": "both", "token": TOKEN, "scopes": list(Scope)})
        async with serving(model_store, admin_port=0, auth_tokens=tokens, **overrides) as (server, plain):
            assert server.admin_address is not None
            async with aio.insecure_channel(server.admin_address) as channel:
                metadata = Credentials(token=TOKEN).metadata()
                stubs = Stubs.of(AuthorisedChannel(plain.channel, metadata))
                yield server, stubs, ModelServiceStub(AuthorisedChannel(channel, metadata))


@contextmanager
def serving_in_thread(model_store: Path, **overrides: Any) -> Iterator[tuple[RunningServer, Stubs]]:
    """A server in the event loop of another thread, and blocking stubs for it."""
    loop = asyncio.new_event_loop()
    started: list[RunningServer] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with run_server(local_settings(model_store, **overrides)) as server:
            started.append(server)
            ready.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        with grpc.insecure_channel(started[0].address) as channel:
            yield started[0], Stubs.of(channel)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@dataclass
class ServerProcess:
    """A ``semantic-palette serve`` that serves."""

    process: subprocess.Popen[str]
    address: str
    health_port: int
    metrics_port: int
    log: list[str]

    def terminate(self) -> int:
        """SIGTERM; returns the exit status once the process has ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving_in_process(
    model_store: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """``semantic-palette serve`` on free ports, until it is ready; killed at the end if it still runs."""
    arguments = ["serve", "--model-store", str(model_store), "--engine", "onnxruntime", "--host", "127.0.0.1"]
    ports = ["--port", "0", "--health-port", "0", "--metrics-port", "0"]
    process = subprocess.Popen(
        [str(COMMAND), *arguments, *ports, *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | (environment or {}),
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r"serving .* at (\S+), health port (\d+), metrics port (\d+)", line):
                drain = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
                drain.start()
                yield ServerProcess(process, match[1], int(match[2]), int(match[3]), lines)
                return
        raise AssertionError("the server did not start:\n" + "".join(lines))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def scrape(port: int) -> dict[str, float]:
    """The samples at a metrics port, by name with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def sample(server: RunningServer, name: str, **labels: str) -> float:
    """The value of a metric of a server, 0 where it has none yet."""
    return server.metrics.registry.get_sample_value(name, labels) or 0.0


async def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds; fails when it does not within some seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.01)


def violations(error: grpc.RpcError) -> list[tuple[str, str]]:
    """The field violations (field, description) in the details of an error."""
    status = rpc_status.from_call(error)
    found: list[tuple[str, str]] = []
    for detail in status.details if status is not None else ():
        message = error_details_pb2.BadRequest()
        if detail.Unpack(message):
            found += [(violation.field, violation.description) for violation in message.field_violations]
    return found
