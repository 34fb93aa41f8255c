"""ONNX Runtime, on the CPU, in single precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from semantic_palette.manifest import ModelEntry
from semantic_palette_services.runtime.engines.base import check_batch, check_model
from semantic_palette_services.runtime.errors import EngineDiedError, EngineLoadError


class OnnxRuntimeEngine:
    """A model in an ONNX Runtime session. See `Engine`."""

    name = "onnxruntime"
    precision = "fp32"

    def __init__(self, path: Path, entry: ModelEntry, threads: int) -> None:
        import onnxruntime

        self.version: str = onnxruntime.__version__
        self._inputs = entry.inputs
        self._outputs = [spec.name for spec in entry.outputs]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised; they need no line on stderr as well
        # Threads that spin while they wait would burn every core of an idle server.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library raises a dozen unrelated types
            raise EngineLoadError(self.name, str(path), str(error)) from error
        check_model(
            self.name,
            path,
            entry,
            [node.name for node in self._session.get_inputs()],
            [node.name for node in self._session.get_outputs()],
        )

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run a batch; see `Engine.run`."""
        check_batch(self._inputs, inputs)
        if self._session is None:
            raise EngineDiedError(self.name, "the engine is closed")
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None
