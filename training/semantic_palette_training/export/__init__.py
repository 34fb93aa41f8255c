"""Checkpoints of a run to a bundle: whole operations as ONNX and TorchScript, checked against eager before they ship."""
