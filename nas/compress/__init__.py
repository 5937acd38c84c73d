"""Making a network cheaper without another subnet: quantization."""

from nas.compress.int8 import quantize_onnx

__all__ = ["quantize_onnx"]
