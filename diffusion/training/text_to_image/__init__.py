"""Training pipelines: from scratch on captioned images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from diffusion.training.text_to_image.objective import train
    from diffusion.training.text_to_image.recipe import PipelineRecipe, load_recipe, recipe_names

__all__ = [
    "PipelineRecipe",
    "load_recipe",
    "recipe_names",
    "train",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "PipelineRecipe": "diffusion.training.text_to_image.recipe",
        "load_recipe": "diffusion.training.text_to_image.recipe",
        "recipe_names": "diffusion.training.text_to_image.recipe",
        "train": "diffusion.training.text_to_image.objective",
    },
)
