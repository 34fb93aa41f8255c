"""OpenVINO, on the CPU, in single precision or bfloat16.

Two compiled forms of a model are kept: one for exactly one sample, which the plugin plans with every shape known and
which deterministic items use, and, from the first larger batch on, one with a free batch axis. Forms for each batch
size were tried: compiling them costs more than they save, since for convolutions the free axis is within 5 % of a
fixed one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime.engines.base import check_batch, check_model
from semantic_palette_services.runtime.errors import EngineDiedError, EngineLoadError, EngineUnavailableError

Precision = Literal["fp32", "bf16"]

# OpenVINO's names of our precisions.
HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


@functools.cache
def openvino_core() -> Any:
    """The process's only OpenVINO core, never freed.

    A core gives the thread that makes it a signal stack. Where several cores come and go, OpenVINO leaves a freed one
    registered (seen in 2026.4), and the next signal that the thread handles ends the process.
    """
    import openvino

    return openvino.Core()


class OpenVinoEngine:
    """A model compiled by OpenVINO. See `Engine`.

    Raises:
        EngineUnavailableError: the CPU has no bfloat16 arithmetic, and that is what was asked for.
    """

    name = "openvino"

    def __init__(self, path: Path, entry: ModelEntry, threads: int, precision: Precision) -> None:
        import openvino

        self.version: str = openvino.__version__.split("-")[0]
        self.precision: str = precision
        self._entry = entry
        self._core = openvino_core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineUnavailableError(f"{self.name}-bf16", "this CPU has no bfloat16 arithmetic")
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",  # all threads on one batch: the device runs one at a time
            "INFERENCE_PRECISION_HINT": HINTS[precision],
        }
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._path = path
        self._model: Any = self._read()
        self._single: Any = self._compile(batch_size=1)
        self._batched: Any = None

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run a batch; see `Engine.run`."""
        size = check_batch(self._entry.inputs, inputs)
        if self._single is None:
            raise EngineDiedError(self.name, "the engine is closed")
        if size > 1 and self._batched is None:
            self._batched = self._compile(batch_size=None)
        request = self._single if size == 1 else self._batched
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        # Inputs are only read while infer runs, so they are shared; outputs outlive the next run, so they are copied.
        results = request.infer(arrays, share_inputs=True, share_outputs=False)
        return {spec.name: results[spec.name] for spec in self._entry.outputs}

    def close(self) -> None:
        """Free the compiled models."""
        self._single = self._batched = self._model = None

    def _read(self) -> Any:
        try:
            model = self._core.read_model(str(self._path))
        except RuntimeError as error:
            raise EngineLoadError(self.name, str(self._path), str(error)) from error
        names = [[port.get_any_name() for port in ports] for ports in (model.inputs, model.outputs)]
        check_model(self.name, self._path, self._entry, *names)
        return model

    def _compile(self, batch_size: int | None) -> Any:
        model = self._model
        if batch_size is not None:
            model = model.clone()
            model.reshape({spec.name: [batch_size, *spec.shape[1:]] for spec in self._entry.inputs})
        try:
            return self._core.compile_model(model, "CPU", self._options).create_infer_request()
        except RuntimeError as error:
            raise EngineLoadError(self.name, str(self._path), str(error)) from error
