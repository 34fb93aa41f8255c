"""What NVIDIA's tritonclient gets from a server, as JSON; run in a process of its own.

The protocol's messages have the same full names in tritonclient and in the server, and a process can have them once.

    python tritonclient_calls.py ADDRESS CONTRACT

CONTRACT is the server's own description of the protocol: a serialised FileDescriptorProto, in base64.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import queue
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype

PALETTE = np.array([[0.25, 0.125, 0.5, 0.125, 0, 0], [0, 0, 0.5, 0.5, 0, 0]], np.float32)
NOISE = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)


def tensor(name: str, array: Any) -> triton.InferInput:
    found = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    found.set_data_from_numpy(array)
    return found


LAYOUT = [tensor("palette", PALETTE), tensor("z", NOISE)]
DETERMINISTIC = {"deterministic": True}


def digest(array: Any) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def failure(call: Callable[[], object]) -> list[str]:
    try:
        call()
    except triton.InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["no error", ""]


def status(client: triton.InferenceServerClient) -> dict[str, Any]:
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "models": [client.is_model_ready(name) for name in ("layout", "tiny.image", "nothing")],
        "server": client.get_server_metadata(as_json=True),
        "layout": client.get_model_metadata("layout", as_json=True),
    }


def answers(client: triton.InferenceServerClient) -> dict[str, Any]:
    layouts = client.infer("layout", LAYOUT, request_id="first", parameters=DETERMINISTIC)
    labels = layouts.as_numpy("labels")
    images = client.infer(
        "image",
        [tensor("labels", labels.copy())],
        model_version="1",
        outputs=[triton.InferRequestedOutput("image")],
        parameters=DETERMINISTIC | {"seed": 4, "index": 9},
    )
    return {
        "labels": [list(labels.shape), str(labels.dtype), digest(labels)],
        "image": [list(images.as_numpy("image").shape), digest(images.as_numpy("image"))],
        "unknown output": images.as_numpy("other"),
        "id": layouts.get_response().id,
        "model": [layouts.get_response().model_name, layouts.get_response().model_version],
        "future": digest(future(client).as_numpy("labels")),
    }


def future(client: triton.InferenceServerClient) -> triton.InferResult:
    results: queue.Queue[Any] = queue.Queue()
    client.async_infer("layout", LAYOUT, lambda result, error: results.put((result, error)), parameters=DETERMINISTIC)
    result, error = results.get(timeout=60)
    assert error is None, error
    return result


def failures(client: triton.InferenceServerClient) -> dict[str, list[str]]:
    ids = np.full((1, 16, 32), 6, np.uint8)
    shared = triton.InferInput("palette", [2, 6], "FP32")
    shared.set_shared_memory("region", 48)
    many = [tensor("palette", np.tile(PALETTE, (128, 1))), tensor("z", np.tile(NOISE, (128, 1)))]
    classes = [triton.InferRequestedOutput("labels", class_count=3)]

    def infer(inputs: list[triton.InferInput], model: str = "layout", **rest: Any) -> Callable[[], object]:
        return lambda: client.infer(model, inputs, **rest)

    return {
        "unknown model": failure(infer(LAYOUT, "nothing")),
        "unknown version": failure(infer(LAYOUT, model_version="7")),
        "unknown metadata": failure(lambda: client.get_model_metadata("nothing")),
        "wrong shape": failure(infer([tensor("palette", PALETTE[:, :4].copy()), LAYOUT[1]])),
        "wrong type": failure(infer([tensor("palette", PALETTE.astype(np.float64)), LAYOUT[1]])),
        "missing input": failure(infer(LAYOUT[:1])),
        "wrong class id": failure(infer([tensor("labels", ids)], "image", parameters={"seed": 0})),
        "unknown output": failure(infer(LAYOUT, outputs=[triton.InferRequestedOutput("image")])),
        "classification": failure(infer(LAYOUT, outputs=classes)),
        "shared memory": failure(infer([shared, LAYOUT[1]])),
        "sequence": failure(infer(LAYOUT, sequence_id=1, sequence_start=True)),
        "unknown parameter": failure(infer(LAYOUT, parameters={"temperature": 1.5})),
        "deadline": failure(infer(many, parameters=DETERMINISTIC, client_timeout=1e-3)),
        "timeout": failure(infer(LAYOUT, timeout=1)),
        "model config": failure(lambda: client.get_model_config("layout")),
    }


def stream(client: triton.InferenceServerClient) -> list[list[str]]:
    results: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: results.put((result, error)))
    for number in range(12):
        client.async_stream_infer(
            "nothing" if number == 5 else "layout", LAYOUT, request_id=str(number), parameters=DETERMINISTIC
        )
    client.stop_stream()  # waits for the answers
    return [_outcome(*results.get_nowait()) for _ in range(results.qsize())]


def _outcome(result: triton.InferResult | None, error: Exception | None) -> list[str]:
    if result is None:
        return ["error", str(error)]
    return [result.get_response().id, digest(result.as_numpy("labels"))]


async def asynchronous(address: str) -> dict[str, Any]:
    async with triton_aio.InferenceServerClient(address) as client:
        result = await client.infer("layout", LAYOUT, parameters=DETERMINISTIC)

        async def requests() -> Any:
            for number in range(6):
                name = "nothing" if number == 2 else "layout"
                yield {
                    "model_name": name,
                    "inputs": LAYOUT,
                    "request_id": str(number),
                    "parameters": DETERMINISTIC,
                    "enable_empty_final_response": True,
                }

        streamed = [_outcome(*answer) async for answer in client.stream_infer(requests())]
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_model_ready("layout"),
            "labels": digest(result.as_numpy("labels")),
            "stream": streamed,
        }


def differences(contract: bytes) -> list[str]:
    """Where the server's description of the protocol and tritonclient's are not the same."""
    ours, theirs = descriptor_pb2.FileDescriptorProto.FromString(contract), descriptor_pb2.FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    known = dict(_parts(theirs))
    return [name for name, part in _parts(ours) if known.get(name) != part]


def _parts(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, object]]:
    for service in file.service:
        for method in service.method:
            kind = (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
            yield f"{file.package}.{service.name}.{method.name}", kind
    yield from _fields(file.package, file.message_type)


def _fields(scope: str, messages: Any) -> Iterator[tuple[str, object]]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, len(message.field)
        for field in message.field:
            yield f"{name}.{field.name}", (field.number, field.type, field.label, field.type_name)
        yield from _fields(name, message.nested_type)


def main(address: str, contract: str) -> None:
    with triton.InferenceServerClient(address) as client:
        report = {
            "differences": differences(base64.b64decode(contract)),
            "status": status(client),
            "answers": answers(client),
            "failures": failures(client),
            "stream": stream(client),
            "asynchronous": asyncio.run(asynchronous(address)),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
