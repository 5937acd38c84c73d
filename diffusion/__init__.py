"""Stable Diffusion, pruned and quantized as an elastic family over diffusers; it comes after `nas`.

`import diffusion` before `DiffusionPipeline.from_pretrained` is all that a pipeline with parts of this package needs:
its model_index.json names classes of this package, and diffusers looks for them here.
"""

from __future__ import annotations

from nas import lazy

__getattr__ = lazy.attributes(
    __name__,
    {
        "PatchAutoencoder": "diffusion.pipeline.parts.autoencoder",
        "SubnetDiTTransformer2DModel": "diffusion.denoisers.subnets",
        "SubnetPixArtTransformer2DModel": "diffusion.denoisers.subnets",
        "SubnetUNet2DConditionModel": "diffusion.denoisers.subnets",
        "SubnetUNet2DModel": "diffusion.denoisers.subnets",
        "prune_pipeline": "diffusion.compress.verbs",
        "quantize_pipeline": "diffusion.compress.verbs",
        "real_examples": "diffusion.training.distil.examples",
        # Diffusers asks the library of a component for its base class, to know how it is loaded.
        "ModelMixin": "diffusers",
    },
)
