"""TorchServe: a custom handler, HTTP with binary bodies."""

import sys

_model = None


def handle(data: list | None, context: object) -> list[bytes]:
    """Images for a batch; without data, loads the model."""
    global _model
    sys.path.insert(0, context.system_properties.get("model_dir"))
    from onnx_image import ImageModel, parse

    if _model is None:
        _model = ImageModel()
    if not data:
        return []
    return [image.tobytes() for image in _model.run([parse(bytes(row.get("body"))) for row in data])]
