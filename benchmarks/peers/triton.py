"""Triton Inference Server, the binary in the nvidia-pytriton wheel; it has the Python backend alone."""

import shutil
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peers.base import ONNXRUNTIME, SERVED, Answers, Task
from peers.inference_protocol import inference_calls
from semantic_palette.loadtest import Send

_CONFIG = """
name: "image"
backend: "python"
max_batch_size: {batch_size}
input [ {{ name: "labels" data_type: TYPE_UINT8 dims: [ {height}, {width} ] }},
        {{ name: "z" data_type: TYPE_FP32 dims: [ {latent} ] }} ]
output [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {height}, {width}, 3 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""


@dataclass(frozen=True)
class Triton:
    """See `Peer`."""

    batch_size: int = 1
    name: str = "Triton 2.51"
    folder: str = "triton"
    requirements: tuple[str, ...] = ("nvidia-pytriton==0.7.0", ONNXRUNTIME)
    ports: int = 2
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "gRPC, Open Inference Protocol, raw contents",
            "batching": "off: no dynamic batcher, with which calls waited for up to 0.9 s beside an idle model",
            "overload": "it has no bound of its queue without the dynamic batcher",
            "workers": "1 instance of the Python backend",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """A model repository, and the Python backend with the stub for the Python of the environment."""
        site = next((environment / "lib").glob("python3.*/site-packages"))
        server = site / "pytriton" / "tritonserver"
        version = site.parent.name.removeprefix("python")
        model = folder / "repository" / "image"
        (model / "1").mkdir(parents=True)
        shutil.copy(SERVED / "triton_model.py", model / "1" / "model.py")
        backends = folder / "backends"
        shutil.copytree(server / "backends", backends)
        shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
        _, height, width = task.labels.shape
        (model / "config.pbtxt").write_text(
            _CONFIG.format(
                batch_size=self.batch_size,
                height=height,
                width=width,
                latent=task.z.shape[1],
            )
        )
        command = [
            str(server / "bin" / "tritonserver"),
            f"--model-repository={folder / 'repository'}",
            f"--backend-directory={backends}",
            f"--grpc-port={ports[0]}",
            f"--http-port={ports[1]}",
            "--allow-metrics=false",
            "--log-error=true",
        ]
        variables = task.environment(ports[0], self.batch_size)
        variables["PYTHONPATH"] = f"{site}:{variables['PYTHONPATH']}"
        # The stub takes the libraries of the first python3 that it finds.
        variables["PATH"] = f"{environment / 'bin'}:/usr/bin:/bin"
        variables["LD_LIBRARY_PATH"] = str(site / "nvidia_pytriton.libs")
        return command, variables

    def client(self, port: int, task: Task, answers: Answers) -> AbstractAsyncContextManager[Send]:
        """See `inference_calls`."""
        return inference_calls(port, "image", task, answers)
