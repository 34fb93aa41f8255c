"""The Open Inference Protocol (v2) face of the models: raw tensors in and out, for clients of Triton and KServe."""
