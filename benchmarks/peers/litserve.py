"""LitServe."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peers.base import ONNXRUNTIME, SERVED, Answers, Task, binary_http
from semantic_palette.loadtest import Send


@dataclass(frozen=True)
class LitServe:
    """See `Peer`."""

    batch_size: int = 1
    fast_queue: bool = False
    name: str = "LitServe 0.2.19"
    folder: str = "litserve"
    requirements: tuple[str, ...] = ("litserve==0.2.19", ONNXRUNTIME, "numpy==2.4.6")
    ports: int = 1
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "HTTP, binary bodies",
            "batching": "batch_timeout 0",
            "overload": "timeout 0.9 of the deadline",
            "workers": "1 worker, 1 API server",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """The app in `served`."""
        variables = task.environment(ports[0], self.batch_size) | {"PEER_FAST_QUEUE": str(int(self.fast_queue))}
        return [str(environment / "bin" / "python"), str(SERVED / "litserve_app.py")], variables

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """See `binary_http`."""
        return binary_http(port, "/predict", task, answers)
