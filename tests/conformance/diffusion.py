"""Tiny networks of diffusers, by their configurations: every layout that the diffusion families know."""

from __future__ import annotations

from typing import Any

_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
}

SD1: dict[str, Any] = {
    **_UNET,
    "block_out_channels": [16, 32, 32],
    "layers_per_block": 2,
    "attention_head_dim": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
"""As Stable Diffusion 1.x: 1×1 convolutions around the transformers, one number of heads, an innermost stage to leave."""

SD2: dict[str, Any] = {
    **_UNET,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": [2, 4],
    "use_linear_projection": True,
    "resnet_time_scale_shift": "scale_shift",
    "num_class_embeds": 3,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
"""As 2.x: linear layers around the transformers, heads by stage; scale and shift by time, a class."""

SDXL: dict[str, Any] = {
    **_UNET,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": [2, 4],
    "use_linear_projection": True,
    "transformer_layers_per_block": [1, 3],
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 34,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}
"""As XL: transformers of several blocks, a text and sizes added to the time."""

UNCONDITIONAL: dict[str, Any] = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "norm_num_groups": 4,
    "block_out_channels": [16, 32],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}

DIT: dict[str, Any] = {
    "_class_name": "DiTTransformer2DModel",
    "num_attention_heads": 4,
    "attention_head_dim": 4,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 3,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 5,
}

PIXART: dict[str, Any] = {
    "_class_name": "PixArtTransformer2DModel",
    "num_attention_heads": 3,
    "attention_head_dim": 4,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 3,
    "cross_attention_dim": 12,
    "caption_channels": 10,
    "sample_size": 8,
    "patch_size": 2,
    "use_additional_conditions": True,
}
"""A caption, and the resolution added to the time."""
