"""Calls in the Open Inference Protocol over gRPC, with raw contents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from peers.base import Answers, Task, chosen
from semantic_palette.grpc_conventions import CONNECTION_OPTIONS
from semantic_palette.loadtest import OK, Call, Send


@asynccontextmanager
async def inference_calls(port: int, model: str, task: Task, answers: Answers) -> AsyncIterator[Send]:
    """Calls that carry one sample each."""
    requests = [_request(model, labels, z) for labels, z in zip(task.labels, task.z, strict=True)]
    poison = [_request(model, labels, task.z[0]) for labels in task.poison_labels]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CONNECTION_OPTIONS) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        async def send(call: Call) -> str:
            try:
                response = await stub.ModelInfer(chosen(call, requests, poison), timeout=call.timeout)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            (body,) = response.raw_output_contents
            if len(body) != task.image_bytes:
                return f"OK WITH {len(body)} BYTES"
            answers[:] = [body]
            return OK

        yield send


def _request(model: str, labels: NDArray[np.uint8], z: NDArray[np.float32]) -> Any:
    tensor = service_pb2.ModelInferRequest.InferInputTensor
    return service_pb2.ModelInferRequest(
        model_name=model,
        inputs=[
            tensor(name="labels", datatype="UINT8", shape=[1, *labels.shape]),
            tensor(name="z", datatype="FP32", shape=[1, len(z)]),
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="image")],
        raw_input_contents=[labels.tobytes(), z.astype("<f4").tobytes()],
    )
