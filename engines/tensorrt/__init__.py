"""Variants as TensorRT plans: built from ONNX by a child process, kept as cache entries, run on a GPU."""
