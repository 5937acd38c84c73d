"""Making a network cheaper without another subnet: quantization."""

from nas.compress.int8 import SCOPES, quantize_onnx, quantize_onnx_dynamically

__all__ = ["SCOPES", "quantize_onnx", "quantize_onnx_dynamically"]
