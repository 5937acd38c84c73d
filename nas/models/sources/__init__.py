"""Networks from elsewhere: of timm, torchvision and transformers, from a file of the user's, from Python.

Importing this imports no torch.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
