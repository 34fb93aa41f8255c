"""What a peer is: an environment, a command, and a client. Everything else is the same for all."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from peers.http_client import HttpClient
from semantic_palette.loadtest import OK, Call, Send

Content = TypeVar("Content")

ONNXRUNTIME = "onnxruntime==1.32.0"
"""The engine of every peer, and of ours."""
SERVED = Path(__file__).parent / "served"
"""Code that runs in the environments of the peers."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is served and asked for; N inputs that calls carry in turn.

    Attributes:
        model: the ONNX file of the image model.
        labels: uint8 [N, H, W].
        z: float32 [N, Z], what our service draws for sample n of seed 0.
        images: uint8 [N, H, W, 3], what the model makes of them.
        threads: of the engine.
        deadline: seconds that a call may take.
    """

    model: Path
    labels: NDArray[np.uint8]
    z: NDArray[np.float32]
    images: NDArray[np.uint8]
    threads: int
    deadline: float

    @property
    def image_bytes(self) -> int:
        """Bytes of an answer."""
        return int(self.images[0].size)

    @property
    def poison_labels(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels of half the height, and labels of a class that there is not; invalid calls carry them in turn."""
        labels = self.labels[0]
        return labels[: len(labels) // 2], np.full_like(labels, 200)

    @property
    def queue_seconds(self) -> float:
        """How long a call may wait so that its answer still comes in time, for servers that take such a limit."""
        return 0.9 * self.deadline

    def environment(self, port: int, batch_size: int) -> dict[str, str]:
        """What the code in `served` reads."""
        _, height, width = self.labels.shape
        values: dict[str, object] = {
            "MODEL": self.model.resolve(),
            "THREADS": self.threads,
            "HEIGHT": height,
            "WIDTH": width,
            "LATENT": self.z.shape[1],
            "BATCH_SIZE": batch_size,
            "PORT": port,
            "DEADLINE": self.queue_seconds,
            "CODE": SERVED,
        }
        names = {f"PEER_{name}": str(value) for name, value in values.items()}
        return names | {"PYTHONPATH": str(SERVED), "OMP_NUM_THREADS": str(self.threads), "PYTHONUNBUFFERED": "1"}


Answers: TypeAlias = list[bytes]
"""Where a client puts the body of the last good answer, so that it can be compared with what was due."""


class Peer(Protocol):
    """A server to compare with.

    Attributes:
        name: as it is shown.
        folder: name of its environment.
        requirements: what is installed there, pinned.
        ports: how many ports it takes; the first is the one that calls go to.
        settings: what was chosen for it, for the page of results.
    """

    name: str
    folder: str
    requirements: tuple[str, ...]
    ports: int
    settings: Mapping[str, str]

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """Writes what the server reads to `folder`; returns its command and what is added to its environment."""

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """Makes calls."""


@asynccontextmanager
async def binary_http(port: int, path: str, task: Task, answers: Answers) -> AsyncIterator[Send]:
    """Calls over HTTP: the body is the label bytes and then z; the answer is the image's."""
    client = HttpClient("127.0.0.1", port)
    bodies = [_body(labels, z) for labels, z in zip(task.labels, task.z, strict=True)]
    poison = [_body(labels, task.z[0]) for labels in task.poison_labels]

    async def send(call: Call) -> str:
        try:
            answer = await client.post(path, chosen(call, bodies, poison))
        except OSError:
            return "DISCONNECTED"
        if answer.status != 200:
            return f"HTTP {answer.status}"
        if len(answer.body) != task.image_bytes:
            return f"OK WITH {len(answer.body)} BYTES"
        answers[:] = [answer.body]
        return OK

    try:
        yield with_timeout(send)
    finally:
        await client.close()


def chosen(call: Call, contents: Sequence[Content], poison: Sequence[Content]) -> Content:
    """What a call carries: contents in turn, and where it is invalid, poison in turn."""
    source = poison if call.poison else contents
    return source[call.index % len(source)]


def _body(labels: NDArray[np.uint8], z: NDArray[np.float32]) -> bytes:
    return labels.tobytes() + z.astype("<f4").tobytes()


def with_timeout(send: Send) -> Send:
    """Lets callers give up when their time is over, as gRPC's deadlines do."""

    async def limited(call: Call) -> str:
        try:
            return await asyncio.wait_for(send(call), call.timeout)
        except TimeoutError:
            return "DEADLINE_EXCEEDED"

    return limited
