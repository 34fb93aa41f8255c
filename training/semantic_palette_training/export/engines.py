"""The engines that an exported file is checked with; what serves it later brings its own."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semantic_palette_training.export.errors import ExportError

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded file: inputs by name to its one output."""

    name: str
    """Such as `onnxruntime-fp32`."""
    full_precision: bool
    """Whether it computes in float32 throughout."""
    run: Callable[[Arrays], NDArray[np.generic]]


def engines(onnx_file: Path, torchscript_file: Path) -> Iterator[Engine]:
    """Every engine that can run the two files here; OpenVINO's bf16 only where the CPU has it. Loaded one at a time."""
    yield onnxruntime_engine(onnx_file)
    yield _openvino_engine(onnx_file, "f32")
    if "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        yield _openvino_engine(onnx_file, "bf16")
    yield _torchscript_engine(torchscript_file)


def _runtime(name: str) -> Any:
    """The inference library of this name; training does without, so it is no part of the `train` extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ExportError(
            f"exporting checks every file on {name}: pip install 'semantic-palette[train,cpu,openvino]'"
        ) from error


@functools.cache
def _openvino_core() -> Any:
    """The process's only core: of several that come and go, OpenVINO leaves a freed signal stack registered."""
    return _runtime("openvino").Core()


def onnxruntime_engine(file: Path) -> Engine:
    """ONNX Runtime on the CPU."""
    session = _runtime("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(inputs: Arrays) -> NDArray[np.generic]:
        output: NDArray[np.generic] = session.run(None, dict(inputs))[0]
        return output

    return Engine("onnxruntime-fp32", True, run)


def _openvino_engine(file: Path, precision: str) -> Engine:
    """OpenVINO on the CPU, in `f32` or `bf16`."""
    compiled = _openvino_core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def run(inputs: Arrays) -> NDArray[np.generic]:
        return np.array(compiled(dict(inputs))[0])

    return Engine(f"openvino-{precision.replace('f32', 'fp32')}", precision == "f32", run)


def _torchscript_engine(file: Path) -> Engine:
    """TorchScript on the CPU; its inputs are positional, in the order of the ONNX inputs."""
    module = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def run(inputs: Arrays) -> NDArray[np.generic]:
        with torch.no_grad():
            output: NDArray[np.generic] = module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
        return output

    return Engine("torchscript-fp32", True, run)
