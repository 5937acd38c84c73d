"""Stable Diffusion, pruned and quantized as an elastic family over diffusers; it comes after `nas`.

`import diffusion` before `DiffusionPipeline.from_pretrained` is all that a pipeline with parts of this package needs:
its model_index.json names classes of this package, and diffusers looks for them here.
"""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
