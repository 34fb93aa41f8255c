"""Ray Serve."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peers.base import ONNXRUNTIME, SERVED, Answers, Task, binary_http
from semantic_palette.loadtest import Send


@dataclass(frozen=True)
class RayServe:
    """See `Peer`."""

    batch_size: int = 1
    name: str = "Ray Serve 2.60"
    folder: str = "ray"
    requirements: tuple[str, ...] = ("ray[serve]==2.60.0", ONNXRUNTIME, "numpy==2.4.6")
    ports: int = 1
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "HTTP, binary bodies",
            "batching": "none: it freezes batches before the model is free",
            "overload": "28 ongoing and 4 queued requests at most",
            "workers": "1 replica, the model in a thread beside its event loop",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """The app in `served`."""
        variables = task.environment(ports[0], self.batch_size) | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(folder),
        }
        return [str(environment / "bin" / "python"), str(SERVED / "ray_app.py")], variables

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """See `binary_http`."""
        return binary_http(port, "/", task, answers)
