# Diffusers asks the library of a component for its base class, to know how it is loaded.
from diffusers.models.modeling_utils import ModelMixin as ModelMixin
from .compress.verbs import prune_pipeline as prune_pipeline, quantize_pipeline as quantize_pipeline
from .denoisers.subnets import (
    SubnetDiTTransformer2DModel as SubnetDiTTransformer2DModel,
    SubnetPixArtTransformer2DModel as SubnetPixArtTransformer2DModel,
    SubnetUNet2DConditionModel as SubnetUNet2DConditionModel,
    SubnetUNet2DModel as SubnetUNet2DModel,
)
from .pipeline.parts.autoencoder import PatchAutoencoder as PatchAutoencoder
from .training.distil.examples import real_examples as real_examples
