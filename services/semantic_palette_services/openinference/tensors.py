"""Conversions between the protocol's tensors and arrays: typed contents and raw ones. N samples, first axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_palette.errors import InvalidInputError
from semantic_palette.manifest import TensorSpec
from semantic_palette_services.openinference.datatypes import DataType, data_type
from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb

Arrays = dict[str, NDArray[Any]]


def shape_of(spec: TensorSpec) -> list[int]:
    """A manifest's shape as the protocol writes it: -1 for the axis of samples."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def is_raw(request: pb.ModelInferRequest) -> bool:
    """Whether the inputs are raw, and so the outputs shall be."""
    return bool(request.raw_input_contents)


def check_inputs(request: pb.ModelInferRequest, specs: Sequence[TensorSpec], drawn: frozenset[str]) -> int:
    """Check names, types and shapes of the inputs, of which no element is read.

    Args:
        request: the request.
        specs: inputs of the model.
        drawn: inputs that the server makes itself, and so must not be given.

    Returns:
        N, the number of samples.

    Raises:
        InvalidInputError: naming the input, what of it is wrong, and what is allowed.
    """
    wanted = [spec.name for spec in specs if spec.name not in drawn]
    given = [tensor.name for tensor in request.inputs]
    if sorted(given) != sorted(wanted):
        _refuse_names(given, wanted, drawn)
    by_name = {spec.name: spec for spec in specs}
    sizes = {tensor.name: _check_header(tensor, by_name[tensor.name], is_raw(request)) for tensor in request.inputs}
    if is_raw(request) and len(request.raw_input_contents) != len(given):
        allowed = f"one for each of the {len(given)} inputs is"
        raise InvalidInputError("raw_input_contents", f"{len(request.raw_input_contents)} contents", allowed)
    if len(set(sizes.values())) != 1:
        raise InvalidInputError("inputs", sizes, "the same number of samples in every input is")
    return next(iter(sizes.values()))


def _refuse_names(given: list[str], wanted: list[str], drawn: frozenset[str]) -> None:
    allowed = f"each of {', '.join(wanted)} once is"
    if drawn:
        allowed += f"; {', '.join(sorted(drawn))} comes from the parameter seed"
    elif "z" in wanted and "z" not in given:
        allowed += "; the parameter seed may take the place of z"
    raise InvalidInputError("inputs", given, allowed)


def _check_header(tensor: pb.ModelInferRequest.InferInputTensor, spec: TensorSpec, raw: bool) -> int:
    field = f"inputs[{spec.name}]"
    if tensor.datatype != data_type(spec).name:
        raise InvalidInputError(f"{field}.datatype", tensor.datatype, f"{data_type(spec).name} is")
    shape, wanted = list(tensor.shape), shape_of(spec)
    if len(shape) != len(wanted) or shape[1:] != wanted[1:] or shape[0] < 1:
        raise InvalidInputError(f"{field}.shape", shape, f"{wanted} is, with any number of samples from 1 for -1")
    if tensor.parameters:
        allowed = "none is: shared memory is not supported"
        raise InvalidInputError(f"{field}.parameters", sorted(tensor.parameters), allowed)
    if raw and tensor.HasField("contents"):
        raise InvalidInputError(f"{field}.contents", "contents beside raw_input_contents", "one of the two is")
    return shape[0]


def read_inputs(request: pb.ModelInferRequest, specs: Sequence[TensorSpec]) -> Arrays:
    """The arrays of a request that `check_inputs` has passed, ``[N, ...]`` each, in the order of ``specs``.

    Raises:
        InvalidInputError: contents have another size than their shape and type say, are in the field of another type,
            or are out of the type's range.
    """
    arrays: Arrays = {}
    raw = is_raw(request)
    types = {spec.name: data_type(spec) for spec in specs}
    for position, tensor in enumerate(request.inputs):
        kind = types[tensor.name]
        if raw:
            values = _from_raw(request.raw_input_contents[position], tensor, kind, f"raw_input_contents[{position}]")
        else:
            values = _from_typed(tensor, kind)
        arrays[tensor.name] = values.reshape(list(tensor.shape))
    return {spec.name: arrays[spec.name] for spec in specs if spec.name in arrays}


def _from_raw(
    data: bytes, tensor: pb.ModelInferRequest.InferInputTensor, kind: DataType, field: str
) -> NDArray[np.generic]:
    size = math.prod(tensor.shape) * kind.dtype.itemsize
    if len(data) != size:
        allowed = f"{size} bytes are, for {tensor.name} of type {kind.name} and shape {list(tensor.shape)}"
        raise InvalidInputError(field, f"{len(data)} bytes", allowed)
    return np.frombuffer(data, dtype=kind.raw_dtype).astype(kind.dtype, copy=False)


def _from_typed(tensor: pb.ModelInferRequest.InferInputTensor, kind: DataType) -> NDArray[np.generic]:
    field = f"inputs[{tensor.name}].contents"
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if kind.contents is None:
        raise InvalidInputError(field, filled, f"raw_input_contents are, for {kind.name} has no typed contents")
    if filled != [kind.contents]:
        raise InvalidInputError(field, filled or "empty", f"{kind.contents} or raw_input_contents are")
    elements = getattr(tensor.contents, kind.contents)
    size = math.prod(tensor.shape)
    if len(elements) != size:
        allowed = f"{size} are, for shape {list(tensor.shape)}"
        raise InvalidInputError(f"{field}.{kind.contents}", f"{len(elements)} elements", allowed)
    if kind.dtype.kind == "f":
        return np.fromiter(elements, kind.dtype, size)
    wide = np.fromiter(elements, np.uint64 if kind.dtype.kind == "u" else np.int64, size)
    limits = np.iinfo(kind.dtype.name)
    low, high = int(wide.min()), int(wide.max())
    if low < limits.min or high > limits.max:
        wrong = low if low < limits.min else high
        raise InvalidInputError(f"{field}.{kind.contents}", wrong, f"{limits.min} to {limits.max} is, for {kind.name}")
    return wide.astype(kind.dtype)


def check_outputs(request: pb.ModelInferRequest, specs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """The outputs that are wanted, in the order wanted; all where none is named.

    Raises:
        InvalidInputError: an output is unknown, is named twice or has parameters.
    """
    by_name = {spec.name: spec for spec in specs}
    names = [output.name for output in request.outputs]
    if not set(names) <= by_name.keys() or len(set(names)) != len(names):
        raise InvalidInputError("outputs", names, f"each of {', '.join(by_name)} at most once is")
    for output in request.outputs:
        if output.parameters:
            field = f"outputs[{output.name}].parameters"
            allowed = "none is: classification and shared memory are not supported"
            raise InvalidInputError(field, sorted(output.parameters), allowed)
    return [by_name[name] for name in names] or list(specs)


def sample_bytes(specs: Sequence[TensorSpec], *, raw: bool) -> int:
    """Most bytes that these tensors take of a message, a sample."""
    return sum(
        math.prod(shape_of(spec)[1:]) * (data_type(spec).dtype.itemsize if raw else data_type(spec).typed_bytes)
        for spec in specs
    )


def write_outputs(
    response: pb.ModelInferResponse, specs: Sequence[TensorSpec], arrays: Mapping[str, NDArray[Any]], *, raw: bool
) -> None:
    """Add arrays ``[N, ...]`` to a response, raw or typed; a type that has no typed contents makes all of them raw."""
    types = [data_type(spec) for spec in specs]
    raw = raw or any(kind.contents is None for kind in types)
    for spec, kind in zip(specs, types, strict=True):
        array = arrays[spec.name]
        output = response.outputs.add(name=spec.name, datatype=kind.name, shape=array.shape)
        if raw:
            response.raw_output_contents.append(array.astype(kind.raw_dtype, copy=False).tobytes())
        else:
            assert kind.contents is not None, "others are raw"
            getattr(output.contents, kind.contents).extend(array.ravel().tolist())
