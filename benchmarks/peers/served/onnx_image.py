"""What every peer runs: the image model in ONNX Runtime, with the options that our own engine has.

This file and its neighbours run in the environments of the peers, which have numpy, onnxruntime and the peer.
"""

import os

import numpy as np
import onnxruntime

HEIGHT, WIDTH, LATENT = (int(os.environ[name]) for name in ("PEER_HEIGHT", "PEER_WIDTH", "PEER_LATENT"))
LABEL_BYTES = HEIGHT * WIDTH
BATCH_SIZE = int(os.environ["PEER_BATCH_SIZE"])


class ImageModel:
    """The session; one a process."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.run([(np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros(LATENT, np.float32))] * BATCH_SIZE)

    def run(self, items: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """uint8 [B, H, W, 3] for labels uint8 [H, W] and z float32 [Z] of each item."""
        labels, z = (np.stack(arrays) for arrays in zip(*items, strict=True))
        return self._session.run(None, {"labels": labels, "z": z})[0]


def parse(body: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Labels and z from the body of an HTTP request: the label bytes, then z in little-endian float32.

    Raises:
        ValueError: the body has another length.
    """
    labels = np.frombuffer(body, np.uint8, LABEL_BYTES).reshape(HEIGHT, WIDTH)
    z = np.frombuffer(body, "<f4", offset=LABEL_BYTES)
    if z.size != LATENT:
        raise ValueError(f"{len(body)} bytes are not labels and z")
    return labels, z
