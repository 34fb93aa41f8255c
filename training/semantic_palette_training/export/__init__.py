"""A run to a bundle: whole operations as ONNX and TorchScript, checked against the trained networks."""
