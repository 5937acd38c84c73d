"""Exporting a subnet: a folder with weights, ONNX, a torch program, a model card and hashes, checked for parity.

Nothing heavy is imported before it is needed: reading a manifest costs no torch.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
