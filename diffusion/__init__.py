"""Stable Diffusion, pruned and quantized as an elastic family over diffusers; it comes after `nas`.

`import diffusion` before `DiffusionPipeline.from_pretrained` is all that a pipeline with parts of this package needs:
its model_index.json names classes of this package, and diffusers looks for them here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "PatchAutoencoder": "diffusion.pipeline.parts.autoencoder",
    "SubnetDiTTransformer2DModel": "diffusion.denoisers.subnets",
    "SubnetPixArtTransformer2DModel": "diffusion.denoisers.subnets",
    "SubnetUNet2DConditionModel": "diffusion.denoisers.subnets",
    "SubnetUNet2DModel": "diffusion.denoisers.subnets",
    # Diffusers asks the library of a component for its base class, to know how it is loaded.
    "ModelMixin": "diffusers",
}


def __getattr__(name: str) -> Any:
    """Import what diffusers asks for when it asks: `import diffusion` alone stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
