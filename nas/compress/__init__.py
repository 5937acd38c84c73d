"""Making a network cheaper without another subnet: quantization."""

from nas.compress.int8 import SCOPES, quantize_onnx

__all__ = ["SCOPES", "quantize_onnx"]
