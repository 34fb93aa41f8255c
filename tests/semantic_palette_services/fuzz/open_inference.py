"""Valid requests of the Open Inference Protocol, for the tiny bundle with an editor and styled images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from semantic_palette_services.openinference.v2 import open_inference_pb2 as pb

_PALETTE = np.array([[0.25, 0, 0.5, 0.125, 0.125, 0], [1, 0, 0, 0, 0, 0]], np.float32)
_EDIT_PALETTE = np.array([[0, 0, 0.125, 0, 0.125, 0, 0.75]], np.float32)
_NOISE = np.linspace(-2, 2, 16, dtype=np.float32).reshape(2, 8)
_STYLES = np.linspace(0, 1, 18, dtype=np.float32).reshape(1, 6, 3)


def requests(labels_HW: NDArray[np.uint8], photo_HW3: NDArray[np.uint8]) -> dict[str, list[Message]]:
    """Requests by the path of their method."""
    labels, photo = labels_HW[None], photo_HW3[None]
    mask = (labels > 2).astype(np.uint8)
    seed = {"seed": pb.InferParameter(int64_param=3), "index": pb.InferParameter(uint64_param=9)}
    deterministic = {"deterministic": pb.InferParameter(bool_param=True)}
    edit = {"labels": labels, "mask": mask, "palette": _EDIT_PALETTE}
    infer: list[Message] = [
        _raw("layout", {"palette": _PALETTE}, seed),
        _raw("tiny.layout", {"z": _NOISE, "palette": _PALETTE}, deterministic),
        _typed({"palette": _PALETTE, "z": _NOISE}),
        _raw("editor", edit, seed | deterministic),
        _raw("image", {"labels": labels, "styles": _STYLES}, {}),
        _raw("style_encoder", {"image": photo, "labels": labels}, {}),
    ]
    return {
        _path("ServerLive"): [pb.ServerLiveRequest()],
        _path("ServerReady"): [pb.ServerReadyRequest()],
        _path("ServerMetadata"): [pb.ServerMetadataRequest()],
        _path("ModelReady"): [pb.ModelReadyRequest(name="layout", version="1")],
        _path("ModelMetadata"): [pb.ModelMetadataRequest(name="tiny.editor")],
        _path("ModelInfer"): infer,
        _path("ModelStreamInfer"): infer,
    }


def _path(method: str) -> str:
    return f"/inference.GRPCInferenceService/{method}"


def _raw(
    model: str, arrays: Mapping[str, NDArray[Any]], parameters: Mapping[str, pb.InferParameter]
) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        model_name=model,
        id="fuzz",
        parameters=parameters,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(
                name=name, datatype="UINT8" if array.dtype == np.uint8 else "FP32", shape=array.shape
            )
            for name, array in arrays.items()
        ],
        raw_input_contents=[array.tobytes() for array in arrays.values()],
    )


def _typed(arrays: Mapping[str, NDArray[Any]]) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        model_name="layout",
        model_version="1",
        inputs=[
            pb.ModelInferRequest.InferInputTensor(
                name=name,
                datatype="FP32",
                shape=array.shape,
                contents=pb.InferTensorContents(fp32_contents=array.ravel().tolist()),
            )
            for name, array in arrays.items()
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="labels")],
    )
