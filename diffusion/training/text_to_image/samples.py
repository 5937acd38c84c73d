"""Sample pictures of a training: the same prompts and seeds every time, a row a caption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion.pipeline.sampling.generate import SamplingSettings, generate
from diffusion.training.text_to_image.networks import make_pipeline
from diffusion.training.text_to_image.recipe import PipelineRecipe
from diffusion.training.text_to_image.state import TEXT, UNET, PipelineState
from nas.pictures import grid, write_png

COLUMNS = 8
_MOST_ROWS = 16


def averaged_pipeline(recipe: PipelineRecipe, state: PipelineState, tokenizer: Any) -> Any:
    """Return the pipeline of the averaged weights; it shares them with the state."""
    return make_pipeline(recipe, state.autoencoder, tokenizer, state.averaged[TEXT], state.averaged[UNET])  # pyright: ignore[reportArgumentType]


def draw_samples(
    path: Path,
    recipe: PipelineRecipe,
    state: PipelineState,
    tokenizer: Any,
    groups: Sequence[tuple[str, ...]],
) -> None:
    """Write images of the first caption of up to 16 groups, 8 seeds each, as one PNG."""
    prompts = [group[0] for group in groups[:_MOST_ROWS] for _ in range(COLUMNS)]
    settings = SamplingSettings(steps=recipe.sample_steps, guidance=recipe.guidance)
    pipeline = averaged_pipeline(recipe, state, tokenizer)
    write_png(path, grid(generate(pipeline, prompts, range(len(prompts)), settings), COLUMNS))
