"""semantic-palette itself, from this working tree and in this environment."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from peers.base import Answers, Task, chosen
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS
from semantic_palette.loadtest import OK, Call, Send
from semantic_palette.v1 import common_pb2, image_service_pb2
from semantic_palette.v1.image_service_pb2_grpc import ImageServiceStub


@dataclass(frozen=True)
class SemanticPalette:
    """See `Peer`. It draws z itself, from the seed."""

    model_store: Path
    bundle: str
    engine: str = "onnxruntime"
    name: str = "semantic-palette"
    folder: str = ""
    requirements: tuple[str, ...] = ()
    ports: int = 3
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "protocol": "gRPC, ImageService, raw contents",
            "batching": "late binding; the batch size at which the engine was measured to be fastest an item",
            "overload": "admission by the deadline that travels with the call",
            "workers": "1 process",
        }
    )

    def prepare(
        self, environment: Path, folder: Path, ports: list[int], task: Task
    ) -> tuple[list[str], dict[str, str]]:
        """`semantic-palette serve` with the image and palette services, as a pod of the Kubernetes base has them."""
        options = {
            "--services": "palette,image",
            "--model-store": str(self.model_store.resolve()),
            "--bundle": self.bundle,
            "--engine": self.engine,
            "--port": str(ports[0]),
            "--health-port": str(ports[1]),
            "--metrics-port": str(ports[2]),
        }
        code = "from semantic_palette.cli.main import main; main()"
        command = [sys.executable, "-c", code, "serve", *(part for option in options.items() for part in option)]
        return command, {
            "SEMANTIC_PALETTE_ENGINE_THREADS": str(task.threads),
            "OMP_NUM_THREADS": str(task.threads),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path and Path(path).is_dir()),
        }

    @asynccontextmanager
    async def client(self, port: int, task: Task, answers: Answers) -> AsyncIterator[Send]:
        """Calls that carry one layout each."""
        requests = [_request(labels, index) for index, labels in enumerate(task.labels)]
        poison = [_request(labels, 0) for labels in task.poison_labels]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CONNECTION_OPTIONS) as channel:
            stub: Any = ImageServiceStub(channel)  # type: ignore[no-untyped-call]

            async def send(call: Call) -> str:
                try:
                    response = await stub.TranslateLayouts(chosen(call, requests, poison), timeout=call.timeout)
                except grpc.aio.AioRpcError as error:
                    return error.code().name
                answers[:] = [response.images[0].data]
                return OK

            yield send


def _request(labels: "np.ndarray[Any, np.dtype[np.uint8]]", index: int) -> image_service_pb2.TranslateLayoutsRequest:
    height, width = labels.shape
    layout = common_pb2.LabelMap(
        encoding=common_pb2.LABEL_ENCODING_RAW, height=height, width=width, data=labels.tobytes()
    )
    return image_service_pb2.TranslateLayoutsRequest(
        items=[image_service_pb2.ImageItem(layout=layout, seed=0, index=index)],
        image_format=common_pb2.IMAGE_FORMAT_RAW,
    )
