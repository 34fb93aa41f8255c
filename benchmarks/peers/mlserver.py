"""MLServer. Its workers do not start with uvloop 0.22, which its requirements allow."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peers.base import ONNXRUNTIME, Answers, Task
from peers.inference_protocol import inference_calls
from semantic_palette.loadtest import Send


@dataclass(frozen=True)
class MLServer:
    """See `Peer`."""

    batch_size: int = 1
    batch_seconds: float = 0.005
    parallel_workers: int = 1
    name: str = "MLServer 1.7.1"
    folder: str = "mlserver"
    requirements: tuple[str, ...] = ("mlserver==1.7.1", "uvloop==0.21.0", ONNXRUNTIME)
    ports: int = 3
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "gRPC, Open Inference Protocol, raw contents",
            "batching": "adaptive batching off: it freezes batches before the model is free",
            "overload": "it has no bound of its queue",
            "workers": "1 parallel worker",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """Its two settings files."""
        server = {
            "host": "127.0.0.1",
            "http_port": ports[1],
            "grpc_port": ports[0],
            "metrics_port": ports[2],
            "parallel_workers": self.parallel_workers,
            "debug": False,
        }
        model: dict[str, object] = {"name": "image", "implementation": "mlserver_runtime.ImageRuntime"}
        if self.batch_size > 1:
            model |= {"max_batch_size": self.batch_size, "max_batch_time": self.batch_seconds}
        (folder / "settings.json").write_text(json.dumps(server))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [str(environment / "bin" / "mlserver"), "start", str(folder)], task.environment(
            ports[0], self.batch_size
        )

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """See `inference_calls`."""
        return inference_calls(port, "image", task, answers)
