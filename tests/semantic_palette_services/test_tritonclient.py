"""NVIDIA's tritonclient, as it is, against a server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_helpers import Stubs, serving_in_thread
from secret_files import TOKEN, Pki, write_tokens
from tiny_bundle import Tiny

from semantic_palette.v1 import common_pb2 as common
from semantic_palette.v1 import image_service_pb2 as image
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb
from semantic_palette_services.server.lifecycle import RunningServer

CALLS = Path(__file__).with_name("tritonclient_calls.py")
PAGE = Path(__file__).parents[2] / "docs" / "open_inference.md"
# What tritonclient_calls.py asks for.
PALETTE = np.array([[0.25, 0.125, 0.5, 0.125, 0, 0], [0, 0, 0.5, 0.5, 0, 0]], np.float32)
NOISE = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def running(tiny_root: Path) -> Iterator[tuple[RunningServer, Stubs]]:
    with serving_in_thread(tiny_root) as (server, stubs):
        yield server, stubs


@pytest.fixture(scope="module")
def report(running: tuple[RunningServer, Stubs]) -> dict[str, Any]:
    contract = base64.b64encode(pb.DESCRIPTOR.serialized_pb).decode()
    command = [sys.executable, str(CALLS), running[0].address, contract]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    report: dict[str, Any] = json.loads(process.stdout)
    return report


def digest(array: Any) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.fixture
def labels(tiny: Tiny) -> Any:
    return tiny.labels(NOISE, PALETTE)


def test_the_contract_is_the_one_that_tritonclient_has(report: dict[str, Any]) -> None:
    assert report["differences"] == []


def test_status_and_metadata(report: dict[str, Any], tiny: Tiny) -> None:
    status = report["status"]
    assert (status["live"], status["ready"]) == (True, True)
    assert status["models"] == [True, True, False]
    assert status["server"]["name"] == "semantic-palette"
    assert status["layout"]["name"] == "tiny.layout"
    assert status["layout"]["versions"] == ["1"]
    [output] = status["layout"]["outputs"]
    assert output == {"name": "labels", "datatype": "UINT8", "shape": ["-1", str(tiny.height), str(tiny.width)]}


def test_arrays_are_those_of_the_model_and_of_the_typed_services(
    running: tuple[RunningServer, Stubs], report: dict[str, Any], tiny: Tiny, labels: Any
) -> None:
    answers = report["answers"]
    assert answers["labels"] == [[2, tiny.height, tiny.width], "uint8", digest(labels)]
    assert answers["future"] == digest(labels)
    assert answers["id"] == "first"
    assert answers["model"] == ["tiny.layout", "1"]
    assert answers["unknown output"] is None
    maps = [
        common.LabelMap(encoding=common.LABEL_ENCODING_RAW, height=tiny.height, width=tiny.width, data=one.tobytes())
        for one in labels
    ]
    request = image.TranslateLayoutsRequest(
        items=[image.ImageItem(layout=label_map, seed=4, index=9 + row) for row, label_map in enumerate(maps)],
        image_format=common.IMAGE_FORMAT_RAW,
        deterministic=True,
    )
    pixels = b"".join(found.data for found in running[1].image.TranslateLayouts(request).images)
    assert answers["image"] == [[2, tiny.height, tiny.width, 3], hashlib.sha256(pixels).hexdigest()]


FAILURES = {
    "unknown model": ("NOT_FOUND", "model 'nothing' is not served here; served: tiny.layout, tiny.image in version 1"),
    "unknown version": ("NOT_FOUND", "model 'layout' in version '7'"),
    "unknown metadata": ("NOT_FOUND", "model 'nothing'"),
    "wrong shape": ("INVALID_ARGUMENT", "inputs[palette].shape: [2, 4] is not allowed; [-1, 6] is"),
    "wrong type": ("INVALID_ARGUMENT", "inputs[palette].datatype: 'FP64' is not allowed; FP32 is"),
    "missing input": ("INVALID_ARGUMENT", "inputs: ['palette'] is not allowed; each of z, palette once is"),
    "wrong class id": ("INVALID_ARGUMENT", "inputs[labels][0]: 'class id 6' is not allowed; class ids from 0 to 5"),
    "unknown output": ("INVALID_ARGUMENT", "outputs: ['image'] is not allowed; each of labels"),
    "classification": ("INVALID_ARGUMENT", "classification and shared memory are not supported"),
    "shared memory": ("INVALID_ARGUMENT", "inputs[palette].parameters"),
    "sequence": ("INVALID_ARGUMENT", "parameters[sequence_id]: 1 is not allowed; there are no sequences"),
    "unknown parameter": ("INVALID_ARGUMENT", "parameters[temperature]: 1.5 is not allowed; known parameters are"),
    "deadline": ("DEADLINE_EXCEEDED", ""),
    "timeout": ("DEADLINE_EXCEEDED", "layout: the answer would take"),
    "model config": ("UNIMPLEMENTED", ""),
}


@pytest.mark.parametrize("case", FAILURES)
def test_errors_reach_the_caller_with_their_status_and_their_reason(report: dict[str, Any], case: str) -> None:
    code, text = FAILURES[case]
    found, message = report["failures"][case]
    assert found == f"StatusCode.{code}"
    assert text in message


def test_every_failure_that_is_tried_is_looked_at(report: dict[str, Any]) -> None:
    assert report["failures"].keys() == FAILURES.keys()


def test_a_stream_answers_in_order_and_outlives_an_error(report: dict[str, Any], labels: Any) -> None:
    expected = [[str(number), digest(labels)] for number in range(12)]
    expected[5] = [
        "error",
        "NOT_FOUND: model 'nothing' is not served here; served: tiny.layout, tiny.image in version 1",
    ]
    assert report["stream"] == expected


def test_the_asynchronous_client_gets_the_same(report: dict[str, Any], labels: Any) -> None:
    found = report["asynchronous"]
    assert (found["live"], found["ready"], found["labels"]) == (True, True, digest(labels))
    assert [identifier for identifier, _ in found["stream"]] == ["0", "1", "error", "3", "4", "5"]
    assert {made for identifier, made in found["stream"] if identifier != "error"} == {digest(labels)}


SECURE = """
import sys
import numpy as np
import tritonclient.grpc as triton

address, ca, token = sys.argv[1:]
headers = {"authorization": f"Bearer {token}"}
palette = triton.InferInput("palette", [1, 6], "FP32").set_data_from_numpy(np.full((1, 6), 1 / 6, np.float32))
with triton.InferenceServerClient(address, ssl=True, root_certificates=ca) as client:
    result = client.infer("layout", [palette], parameters={"seed": 1}, headers=headers)
    print(result.as_numpy("labels").shape)
    client.start_stream(lambda result, error: print(result.as_numpy("labels").shape), headers=headers)
    client.async_stream_infer("layout", [palette], parameters={"seed": 1})
    client.stop_stream()
    try:
        client.is_server_live()
    except triton.InferenceServerException as error:
        print(error.status())
"""


def test_tls_and_tokens_are_tritonclients_own_options(tiny_root: Path, tmp_path: Path) -> None:
    pki, tokens = Pki.create(tmp_path), write_tokens(tmp_path / "tokens.json")
    with serving_in_thread(tiny_root, auth_tokens=tokens, **pki.server_settings()) as (server, _):
        command = [sys.executable, "-c", SECURE, server.address, str(pki.ca), TOKEN]
        process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["(1, 16, 32)", "(1, 16, 32)", "StatusCode.UNAUTHENTICATED"]


def test_the_example_of_the_page_runs(running: tuple[RunningServer, Stubs]) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    example = found[1].replace("127.0.0.1:50051", running[0].address)
    example += "\nprint(labels.shape, labels.dtype, images.shape, images.dtype)\n"
    process = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "(2, 16, 32) uint8 (2, 16, 32, 3) uint8\n"
