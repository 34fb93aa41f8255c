"""Triton: a model of the Python backend, Open Inference Protocol over gRPC with raw contents."""

import os
import sys

import triton_python_backend_utils as triton

sys.path.insert(0, os.environ["PEER_CODE"])
from onnx_image import ImageModel


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.model = ImageModel()

    def execute(self, requests: list) -> list:
        items = []
        for request in requests:
            labels, z = (triton.get_input_tensor_by_name(request, name).as_numpy() for name in ("labels", "z"))
            items.append((labels[0], z[0]))
        images = self.model.run(items)
        return [triton.InferenceResponse([triton.Tensor("image", images[i : i + 1])]) for i in range(len(requests))]
