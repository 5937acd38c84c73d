"""The parts of a small pipeline by a recipe, and the pipeline of trained parts."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion.pipeline.files.folder import quiet
from diffusion.pipeline.parts.autoencoder import PatchAutoencoder
from diffusion.training.text_to_image.recipe import PipelineRecipe


def make_unet(recipe: PipelineRecipe) -> UNet2DConditionModel:
    """Return a fresh UNet with cross-attention at all levels."""
    channels = recipe.channels
    return UNet2DConditionModel(
        sample_size=recipe.resolution // recipe.patch,
        in_channels=recipe.latent_channels,
        out_channels=recipe.latent_channels,
        layers_per_block=recipe.layers,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        cross_attention_dim=recipe.text_width,
        # diffusers' name is wrong, and it says so: these are numbers of heads.
        attention_head_dim=tuple(each // recipe.head_channels for each in channels),  # pyright: ignore[reportArgumentType]
        norm_num_groups=recipe.groups,
    )


def make_text_encoder(recipe: PipelineRecipe, tokenizer: Any) -> CLIPTextModel:
    """Return a fresh text encoder for the tokenizer's vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.text_width,
        intermediate_size=4 * recipe.text_width,
        projection_dim=recipe.text_width,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=recipe.text_heads,
        max_position_embeddings=recipe.tokens,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModel(config)
    # CLIP's own scale of 0.02 leaves the prompts of so narrow an encoder nearly alike at the start.
    words = model.get_input_embeddings().weight
    assert isinstance(words, torch.Tensor)
    torch.nn.init.normal_(words, std=0.5)
    return model


def make_scheduler(recipe: PipelineRecipe) -> DDIMScheduler:
    """Return the schedule of the noise, which is the pipeline's sampler too."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=recipe.schedule,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=recipe.zero_snr,
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def make_pipeline(
    recipe: PipelineRecipe,
    vae: PatchAutoencoder,
    tokenizer: Any,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
) -> StableDiffusionPipeline:
    """Return the pipeline of these parts."""
    with quiet():
        pipeline = StableDiffusionPipeline(
            vae=vae,  # pyright: ignore[reportArgumentType]
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=make_scheduler(recipe),  # pyright: ignore[reportArgumentType]
            safety_checker=None,  # pyright: ignore[reportArgumentType]
            feature_extractor=None,  # pyright: ignore[reportArgumentType]
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
