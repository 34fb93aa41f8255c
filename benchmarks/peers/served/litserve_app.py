"""LitServe: binary bodies in and out, one worker, whatever waits when the worker is free."""

import os
from typing import Annotated

import litserve
import numpy as np
from fastapi import Body, Response
from onnx_image import BATCH_SIZE, ImageModel, parse


class ImageApi(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = ImageModel()

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> tuple:
        return parse(request)

    def batch(self, inputs: list) -> list:
        return inputs

    def predict(self, inputs: object) -> object:
        return self.model.run(inputs) if BATCH_SIZE > 1 else self.model.run([inputs])[0]

    def unbatch(self, output: np.ndarray) -> list:
        return list(output)

    def encode_response(self, output: np.ndarray) -> Response:
        return Response(content=output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    api = ImageApi(max_batch_size=BATCH_SIZE, batch_timeout=0.0)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=1,
        timeout=float(os.environ["PEER_DEADLINE"]),
        fast_queue=os.environ["PEER_FAST_QUEUE"] == "1",
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        log_level="error",
        generate_client_file=False,
    )
