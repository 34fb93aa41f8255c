"""TorchServe. Its project is closed; it needs Java, and PyYAML that it does not declare."""

import json
import subprocess
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peers.base import ONNXRUNTIME, SERVED, Answers, Task, binary_http
from semantic_palette.loadtest import Send


@dataclass(frozen=True)
class TorchServe:
    """See `Peer`."""

    batch_size: int = 1
    name: str = "TorchServe 0.12"
    folder: str = "torchserve"
    requirements: tuple[str, ...] = (
        "torchserve==0.12.0",
        "torch-model-archiver==0.12.0",
        "torch>=2.11,<2.14",
        "pyyaml==6.0.3",
        "setuptools<80",
        ONNXRUNTIME,
        "numpy==2.4.6",
    )
    ports: int = 5
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "HTTP, binary bodies",
            "batching": "batchSize 1",
            "overload": "job_queue_size 30",
            "workers": "1 worker",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """A model archive with the handler, and its properties."""
        binaries = environment / "bin"
        store = folder / "models"
        store.mkdir()
        archive = ["--model-name", "image", "--version", "1.0", "--handler", str(SERVED / "torchserve_handler.py")]
        extra = ["--extra-files", str(SERVED / "onnx_image.py"), "--export-path", str(store)]
        subprocess.run([str(binaries / "torch-model-archiver"), *archive, *extra], check=True, capture_output=True)
        model = {
            "1.0": {
                "defaultVersion": True,
                "marName": "image.mar",
                "minWorkers": 1,
                "maxWorkers": 1,
                "batchSize": self.batch_size,
                "maxBatchDelay": 1,
                "responseTimeout": 120,
            }
        }
        names = ("inference_address", "management_address", "metrics_address")
        addresses = [f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports[:3], strict=True)]
        lines = [
            *addresses,
            f"grpc_inference_port={ports[3]}",
            f"grpc_management_port={ports[4]}",
            "job_queue_size=30",
            "disable_token_authorization=true",
            "enable_envvars_config=false",
            f"model_store={store}",
            "load_models=image.mar",
            "models=" + json.dumps({"image": model}),
        ]
        (folder / "config.properties").write_text("\n".join(lines) + "\n")
        command = [str(binaries / "torchserve"), "--start", "--foreground", "--ncs", "--ts-config"]
        variables = task.environment(ports[0], self.batch_size) | {
            "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
            "TEMP": str(folder),
        }
        return [*command, str(folder / "config.properties")], variables

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """See `binary_http`."""
        return binary_http(port, "/predictions/image", task, answers)
