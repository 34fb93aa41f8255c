"""A peer that runs, from its start to its end, and what is measured of it."""

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peers.base import Answers, Peer, Task
from peers.environments import PeerError
from peers.process import ProcessTree
from semantic_palette.loadtest import OK, Call, Report, Send, poisson_arrivals, run_load, summarise

READY_SECONDS = 90.0
BUSY_SHARE = 0.2
"""A server that uses more of a core than this is busy with calls."""
LEAST_PSNR = 35.0
"""Least likeness of an answer to what the model makes of its input, in dB; what the bundle asks of its engines."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        peer: which.
        task: what it serves.
        send: makes a call.
        tree: its processes.
        ready_seconds: from its start to its first good answer.
    """

    peer: Peer
    task: Task
    send: Send
    tree: ProcessTree
    ready_seconds: float

    async def load(
        self,
        rate: float,
        seconds: float,
        seed: int,
        *,
        deadline: float | None,
        cancel_fraction: float = 0.0,
        poison_fraction: float = 0.0,
    ) -> Report:
        """One run at one rate."""
        arrivals = poisson_arrivals(
            rate, seconds, seed, cancel_fraction=cancel_fraction, poison_fraction=poison_fraction
        )
        recorder = await run_load(arrivals, self.send, deadline=deadline, grace=6.0)
        return summarise(recorder.outcomes, seconds, deadline=deadline)

    async def settle(self, longest: float = 30.0) -> None:
        """Waits until the server is done with what it was asked for, be it that nobody waits for it any more."""
        deadline = time.monotonic() + longest
        before, quiet = self.tree.cpu_seconds(), 0
        while quiet < 2 and time.monotonic() < deadline:
            await asyncio.sleep(1.0)
            now = self.tree.cpu_seconds()
            quiet = quiet + 1 if now - before < BUSY_SHARE else 0
            before = now

    async def idle_cpu(self, seconds: float) -> float:
        """Share of one core that the server uses while nobody calls."""
        await self.settle()
        before, started = self.tree.cpu_seconds(), time.monotonic()
        await asyncio.sleep(seconds)
        return (self.tree.cpu_seconds() - before) / (time.monotonic() - started)


@asynccontextmanager
async def running(peer: Peer, environment: Path, task: Task, work: Path | None = None) -> AsyncIterator[Running]:
    """Starts a peer, waits until it answers with what is due, and ends it.

    Args:
        peer: which.
        environment: of the peer.
        task: what it serves.
        work: where a folder with what it reads, writes and says is left. Default: nothing is left.

    Raises:
        PeerError: it does not; the message ends with its last words.
    """
    ports = _free_ports(peer.ports)
    with _folder(work) as folder:
        started = time.monotonic()
        command, variables = peer.prepare(environment, folder, ports, task)
        tree = ProcessTree(command, variables, folder)
        try:
            answers: Answers = []
            async with peer.client(ports[0], task, answers) as send:
                await _wait_until_ready(send, tree, started)
                _check_likeness(answers, task)
                yield Running(peer, task, send, tree, time.monotonic() - started)
        finally:
            await asyncio.to_thread(tree.stop)


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    # Short names: Ray makes a socket below, whose path may have 107 bytes.
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix="p-", dir=work.resolve()))
        return
    with tempfile.TemporaryDirectory(prefix="p-", ignore_cleanup_errors=True) as name:
        yield Path(name)


async def _wait_until_ready(send: Send, tree: ProcessTree, started: float) -> None:
    status = "nothing"
    while time.monotonic() - started < READY_SECONDS and not tree.ended:
        try:
            status = await asyncio.wait_for(send(Call(0, False, 10.0)), 15.0)
        except TimeoutError:
            status = "no answer"
        if status == OK:
            return
        await asyncio.sleep(0.2)
    words = tree.log.read_text(errors="replace").split()
    raise PeerError(f"it did not become ready (last: {status}): " + " ".join(words[-80:]))


def _check_likeness(answers: Answers, task: Task) -> None:
    """Whether the answer to the first input is what the model makes of it."""
    due = task.images[0]
    image = np.frombuffer(answers[0], np.uint8).reshape(due.shape)
    error = np.mean((image.astype(np.float64) - due) ** 2)
    psnr = np.inf if error == 0 else 10 * np.log10(255.0**2 / error)
    if psnr < LEAST_PSNR:
        raise PeerError(f"its answer has a PSNR of {psnr:.1f} dB; at least {LEAST_PSNR} is due")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
