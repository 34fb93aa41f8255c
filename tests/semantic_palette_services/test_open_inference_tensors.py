"""Tensors of the Open Inference Protocol to arrays and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import TensorSpec
from semantic_palette_services.openinference.datatypes import DTYPES, data_type
from semantic_palette_services.openinference.tensors import (
    check_inputs,
    check_outputs,
    read_inputs,
    sample_bytes,
    write_outputs,
)
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb

NONE: frozenset[str] = frozenset()


def spec_of(array: NDArray[Any], name: str = "x") -> TensorSpec:
    return TensorSpec(name, array.dtype.name, ["batch", *array.shape[1:]])


def request_of(*responses: pb.ModelInferResponse) -> pb.ModelInferRequest:
    """The outputs of responses, as the inputs of a request: field by field they are the same."""
    request = pb.ModelInferRequest()
    for response in responses:
        for output in response.outputs:
            tensor = request.inputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
            if output.HasField("contents"):
                tensor.contents.CopyFrom(output.contents)
        request.raw_input_contents.extend(response.raw_output_contents)
    return request


def written(array: NDArray[Any], *, raw: bool, name: str = "x") -> pb.ModelInferResponse:
    response = pb.ModelInferResponse()
    write_outputs(response, [spec_of(array, name)], {name: array}, raw=raw)
    return response


def read(request: pb.ModelInferRequest, *specs: TensorSpec) -> dict[str, NDArray[Any]]:
    check_inputs(request, specs, NONE)
    return read_inputs(request, specs)


arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: nps.arrays(np.dtype(dtype), nps.array_shapes(min_dims=1, max_dims=4, max_side=4))
)


@given(array=arrays, raw=st.booleans())
def test_what_is_written_is_read_bit_for_bit(array: NDArray[Any], raw: bool) -> None:
    response = written(array, raw=raw)
    [found] = read(request_of(response), spec_of(array)).values()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    same = (found == array) | ((found != found) & (array != array))
    assert same.all()
    assert bool(response.raw_output_contents) == (raw or array.dtype == np.float16)
    assert response.outputs[0].HasField("contents") != bool(response.raw_output_contents)


@given(array=arrays, raw=st.booleans())
def test_a_message_is_no_larger_than_is_planned_for(array: NDArray[Any], raw: bool) -> None:
    if not raw and array.dtype == np.float16:
        return
    response = written(array, raw=raw)
    planned = len(array) * sample_bytes([spec_of(array)], raw=raw)
    headers = 64
    assert response.ByteSize() <= planned + headers


def test_several_tensors_come_in_any_order_and_are_read_in_the_models() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(4, dtype=np.uint8).reshape(2, 2)
    request = request_of(written(b, raw=True, name="b"), written(a, raw=True, name="a"))
    found = read(request, spec_of(a, "a"), spec_of(b, "b"))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], a)
    np.testing.assert_array_equal(found["b"], b)


def typed(datatype: str, shape: list[int], **contents: Any) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    return pb.ModelInferRequest(inputs=[tensor])


def raw(datatype: str, shape: list[int], *data: bytes) -> pb.ModelInferRequest:
    request = typed(datatype, shape)
    request.raw_input_contents.extend(data)
    return request


UINT8 = TensorSpec("x", "uint8", ["batch", 2])
FP16 = TensorSpec("x", "float16", ["batch", 2])
INT8 = TensorSpec("x", "int8", ["batch", 2])

REFUSED: dict[str, tuple[TensorSpec, pb.ModelInferRequest, str, str]] = {
    "another type": (UINT8, raw("INT64", [1, 2], b"12"), "inputs[x].datatype", "'INT64' is not allowed; UINT8"),
    "no type": (UINT8, raw("", [1, 2], b"12"), "inputs[x].datatype", "UINT8"),
    "too few axes": (UINT8, raw("UINT8", [2], b"12"), "inputs[x].shape", "[-1, 2]"),
    "another size": (UINT8, raw("UINT8", [1, 3], b"123"), "inputs[x].shape", "[1, 3] is not allowed; [-1, 2]"),
    "no sample": (UINT8, raw("UINT8", [0, 2], b""), "inputs[x].shape", "from 1"),
    "a negative number of samples": (UINT8, raw("UINT8", [-1, 2], b"12"), "inputs[x].shape", "from 1"),
    "too few bytes": (UINT8, raw("UINT8", [2, 2], b"123"), "raw_input_contents[0]", "4 bytes are"),
    "too many bytes": (UINT8, raw("UINT8", [1, 2], b"123"), "raw_input_contents[0]", "2 bytes are"),
    "more contents than inputs": (UINT8, raw("UINT8", [1, 2], b"12", b"34"), "raw_input_contents", "1 inputs"),
    "nothing": (UINT8, typed("UINT8", [1, 2]), "inputs[x].contents", "uint_contents or raw_input_contents"),
    "the field of another type": (
        UINT8,
        typed("UINT8", [1, 2], int_contents=[1, 2]),
        "inputs[x].contents",
        "'int_contents'",
    ),
    "two fields": (
        UINT8,
        typed("UINT8", [1, 2], int_contents=[1, 2], uint_contents=[1, 2]),
        "inputs[x].contents",
        "uint_contents",
    ),
    "too few elements": (UINT8, typed("UINT8", [2, 2], uint_contents=[1]), "inputs[x].contents.uint_contents", "4 are"),
    "an element beyond the type": (
        UINT8,
        typed("UINT8", [1, 2], uint_contents=[1, 256]),
        "inputs[x].contents.uint_contents",
        "256 is not allowed; 0 to 255",
    ),
    "an element below the type": (
        INT8,
        typed("INT8", [1, 2], int_contents=[1, -129]),
        "inputs[x].contents.int_contents",
        "-129 is not allowed; -128 to 127",
    ),
    "typed half precision": (FP16, typed("FP16", [1, 2], fp32_contents=[1, 2]), "inputs[x].contents", "raw_input"),
    "a missing input": (UINT8, pb.ModelInferRequest(), "inputs", "each of x once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    spec, request, field, text = REFUSED[case]
    with pytest.raises(InvalidInputError) as caught:
        read(request, spec)
    assert caught.value.field == field
    assert text in str(caught.value)


def test_raw_and_typed_contents_are_not_mixed() -> None:
    request = typed("UINT8", [1, 2], uint_contents=[1, 2])
    request.raw_input_contents.append(b"12")
    with pytest.raises(InvalidInputError, match="one of the two"):
        read(request, UINT8)


def test_an_input_is_given_once() -> None:
    request = raw("UINT8", [1, 2], b"12", b"12")
    request.inputs.append(request.inputs[0])
    with pytest.raises(InvalidInputError, match="once"):
        read(request, UINT8)


def test_shared_memory_is_refused() -> None:
    request = typed("UINT8", [1, 2])
    request.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    with pytest.raises(InvalidInputError, match="shared memory is not supported") as caught:
        read(request, UINT8)
    assert caught.value.field == "inputs[x].parameters"


def test_inputs_have_the_same_number_of_samples() -> None:
    request = request_of(
        written(np.zeros((2, 2), np.uint8), raw=True, name="a"), written(np.zeros((3, 2), np.uint8), raw=True, name="b")
    )
    with pytest.raises(InvalidInputError, match="same number of samples"):
        read(request, TensorSpec("a", "uint8", ["batch", 2]), TensorSpec("b", "uint8", ["batch", 2]))


def test_outputs_are_chosen_by_name_and_in_the_order_asked_for() -> None:
    specs = [TensorSpec(name, "uint8", ["batch"]) for name in ("a", "b", "c")]

    def chosen(*names: str) -> list[str]:
        outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
        return [spec.name for spec in check_outputs(pb.ModelInferRequest(outputs=outputs), specs)]

    assert chosen() == ["a", "b", "c"]
    assert chosen("c", "a") == ["c", "a"]
    for names in (["d"], ["a", "a"]):
        with pytest.raises(InvalidInputError, match="each of a, b, c at most once"):
            chosen(*names)


def test_classification_is_refused() -> None:
    request = pb.ModelInferRequest(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="x")])
    request.outputs[0].parameters["classification"].int64_param = 3
    with pytest.raises(InvalidInputError, match="classification") as caught:
        check_outputs(request, [UINT8])
    assert caught.value.field == "outputs[x].parameters"


def test_types_have_the_protocols_names() -> None:
    names = {dtype: data_type(TensorSpec("x", dtype, ["batch"])).name for dtype in DTYPES}
    assert names["uint8"] == "UINT8"
    assert names["int64"] == "INT64"
    assert [names[f"float{bits}"] for bits in (16, 32, 64)] == ["FP16", "FP32", "FP64"]
