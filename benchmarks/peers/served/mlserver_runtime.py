"""MLServer: a custom runtime, Open Inference Protocol over gRPC with raw contents."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_image import ImageModel


class ImageRuntime(MLModel):
    async def load(self) -> bool:
        self.model = ImageModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        arrays = {entry.name: NumpyCodec.decode_input(entry) for entry in payload.inputs}
        items = list(zip(arrays["labels"].astype(np.uint8), arrays["z"].astype(np.float32), strict=True))
        image = self.model.run(items)
        return InferenceResponse(
            model_name=self.name, id=payload.id, outputs=[NumpyCodec.encode_output("image", image)]
        )
