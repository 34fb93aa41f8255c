"""What the comparison with other servers measures with: its HTTP client, its watch on processes, its tables."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from peers.http_client import Answer, HttpClient
from peers.plot import chart
from peers.process import ProcessTree
from peers.summary import tables

Handler = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


def talk(handle: Handler, scenario: Callable[[HttpClient], Awaitable[None]]) -> int:
    """Runs a scenario against a server whose handler gets the number of the connection; returns how many there were."""
    opened = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await handle(opened, reader, writer)
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        client = HttpClient("127.0.0.1", server.sockets[0].getsockname()[1])
        await scenario(client)
        await client.close()
        server.close()

    asyncio.run(main())
    return opened


async def read_body(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("Content-Length"))
    return await reader.readexactly(int(length))


def test_connections_are_kept_and_both_forms_of_bodies_read() -> None:
    async def handle(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await read_body(reader)
        writer.write(OK + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        body = await read_body(reader)
        writer.write(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        await reader.read()

    async def scenario(client: HttpClient) -> None:
        assert await client.post("/", b"\0\1\2") == Answer(200, b"\0\1\2")
        assert await client.post("/", b"") == Answer(500, b"abcde")

    assert talk(handle, scenario) == 1


def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    async def handle(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(reader)
        writer.write(OK + b"content-length: 0\r\n\r\n")

    async def scenario(client: HttpClient) -> None:
        for _ in range(3):
            assert (await client.post("/", b"x")).status == 200

    assert talk(handle, scenario) == 3


def test_a_server_that_hangs_up_instead_of_answering_is_an_error() -> None:
    async def handle(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(reader)

    async def scenario(client: HttpClient) -> None:
        with pytest.raises(ConnectionError):
            await client.post("/", b"x")

    assert talk(handle, scenario) == 1


def test_a_cancelled_call_closes_its_connection() -> None:
    async def scenario_of_both() -> None:
        gone = asyncio.Event()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_body(reader)
            with suppress(ConnectionError):
                await reader.read()
            gone.set()
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        client = HttpClient("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("/", b"x"), 0.2)
        await asyncio.wait_for(gone.wait(), 20)
        server.close()

    asyncio.run(scenario_of_both())


def test_a_tree_of_processes_is_watched_and_ended_as_a_whole(tmp_path: Path) -> None:
    # The child has a session of its own and would outlive its parent.
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "sum(range(3_000_000))\n"
        "time.sleep(600)"
    )
    tree = ProcessTree([sys.executable, "-c", code], {}, tmp_path)
    try:
        deadline = time.monotonic() + 60
        while (len(tree.pids()) < 2 or tree.cpu_seconds() == 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(tree.pids()) == 2
        assert tree.cpu_seconds() > 0
        assert tree.memory_bytes() > 1_000_000
        assert not tree.ended
    finally:
        tree.stop()
    assert tree.pids() == []
    assert tree.ended


def test_a_result_becomes_tables_and_a_picture() -> None:
    result = {
        "date": "2026-01-01",
        "bundle": "tiny/1",
        "machine": {"processor": "some cores"},
        "servers": {
            "semantic-palette": server(40.0, 0.10),
            "Fast": server(20.0, 0.20),
            "Broken": {"rounds": [], "failure": "PeerError: no Java"},
        },
    }
    printed = tables(result)
    assert "| semantic-palette | 40.0-40.0 |" in printed
    assert "| semantic-palette | 2.00, 2.00 | 0.50, 0.50 |" in printed
    assert "1 OK, 2 INVALID_ARGUMENT; of 9 others 1 UNKNOWN" in printed
    assert "- Broken: PeerError: no Java" in printed
    drawn = chart(result)
    assert drawn.count("<polyline") == 2
    assert "Broken" not in drawn


def server(saturation: float, p99: float) -> dict[str, object]:
    """A result of a server, in both rounds the same."""
    level = {"latency": {"p50": p99 / 2, "p99": p99}, "goodput": saturation, "cpu_seconds_per_call": 0.03}
    levels = dict.fromkeys(("30%", "70%", "100%", "150%"), level)
    calm = {"statuses": {"OK": 9}, "cancelled": 0, "poison": {}}
    return {
        "rounds": [{"saturation": saturation, "levels": levels, "ready_seconds": 1.0, "cores_used_by_others": 0.25}]
        * 2,
        "failure": None,
        "memory_bytes": 1_000_000,
        "idle_cpu": 0.001,
        "cancels": calm | {"cancelled": 2},
        "after_cancels": calm,
        "poison": {"statuses": {"OK": 8, "UNKNOWN": 1}, "poison": {"OK": 1, "INVALID_ARGUMENT": 2}},
        "after_poison": calm,
    }
