"""Operations to ONNX files: opset 20, any batch size, plain operators only, nothing of this machine in the metadata."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir
import onnxscript.optimizer
import torch
from onnx import ModelProto, TensorProto
from onnx_ir.passes import common as passes

from semantic_palette.manifest import BATCH_AXIS
from semantic_palette_training.export.errors import ExportError
from semantic_palette_training.export.operations import Operation

OPSET = 20
#: Initialisers smaller than this stay inside the graph: shapes and scalars, which engines need while they load it.
_EXTERNAL_BYTES = 1024
#: Offsets in a weights file are multiples of this, so that engines can map the file into memory.
_ALIGNMENT = 4096


def export_onnx(operation: Operation) -> ModelProto:
    """The operation as an ONNX model with its weights inside and a free batch axis; SAA becomes plain operators.

    Raises:
        ExportError: the exporter made the batch axis a constant or wrote another opset.
    """
    batch = torch.export.Dim(BATCH_AXIS, min=1)
    with _quiet_exporter():
        program = torch.onnx.export(
            operation.module,
            operation.example(2),  # an example of 1 would make the batch a constant
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in operation.inputs],
            output_names=[operation.output.name],
            dynamic_shapes=tuple({0: batch} for _ in operation.inputs),
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"{operation.name}: the ONNX exporter returned nothing")
    _simplify(program.model)
    model = program.model_proto
    _strip(model)
    _check_interface(operation, model)
    return model


def write_with_weights(models: Mapping[str, ModelProto], directory: Path, weights: str) -> None:
    """Write models that have the same weights as files of `directory` that read them from one file beside them.

    The file may be larger than the 2 GB that a model with its weights inside cannot exceed.

    Args:
        models: file name to model; changed in place.
        directory: where the files go.
        weights: name of the shared file.

    Raises:
        ExportError: two models give one weight different bytes, or do not have the same weights.
    """
    large = {file: _large_initialisers(model) for file, model in models.items()}
    first_file, first = next(iter(large.items()))
    for file, tensors in large.items():
        if tensors.keys() != first.keys() or any(tensors[key].raw_data != first[key].raw_data for key in first):
            raise ExportError(f"{file} and {first_file} do not have the same weights, so they cannot share {weights}")
    offsets = _write_weights(list(first.values()), directory / weights)
    for file, model in models.items():
        for tensor in large[file].values():
            _point_at(tensor, weights, offsets[tensor.name])
        onnx.save_model(model, str(directory / file))
        onnx.checker.check_model(str(directory / file), full_check=True)


def _large_initialisers(model: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= _EXTERNAL_BYTES}


def _write_weights(tensors: Sequence[TensorProto], path: Path) -> dict[str, int]:
    """Concatenate the tensors' bytes; returns the offset of each."""
    offsets = {}
    with path.open("wb") as file:
        for tensor in tensors:
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            offsets[tensor.name] = file.tell()
            file.write(tensor.raw_data)
        file.flush()
        os.fsync(file.fileno())
    return offsets


def _point_at(tensor: TensorProto, weights: str, offset: int) -> None:
    """Replace the tensor's bytes by their place in the weights file."""
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", weights), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _simplify(model: onnx_ir.Model) -> None:
    """Compute what is constant, drop what is not used and merge what is equal.

    These are the exporter's own passes but for its pattern rules, which take minutes for a thousand nodes and leave
    nothing that engines do not find by themselves.
    """
    onnxscript.optimizer.inline(model)
    onnxscript.optimizer.fold_constants(model)
    for simplify in (
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    ):
        simplify(model)


def _strip(model: ModelProto) -> None:
    """Drop stack traces, source paths and comments that the exporter leaves in every node and value."""
    graph = model.graph
    described = [model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
    for item in described:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _check_interface(operation: Operation, model: ModelProto) -> None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets != {"": OPSET} or model.functions:
        raise ExportError(f"{operation.name}: opsets {opsets}; only plain operators of opset {OPSET} are expected")
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if axis.dim_param != BATCH_AXIS:
            raise ExportError(f"{operation.name}: the batch axis of {value.name} became the constant {axis.dim_value}")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter says on every call: its own deprecated calls, packages that this project does not
    use, and that all inputs share the batch axis, which is what is wanted."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", f".*The axis name: {BATCH_AXIS} will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)
