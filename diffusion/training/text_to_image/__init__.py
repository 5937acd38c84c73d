"""Training pipelines: from scratch on captioned images."""

from __future__ import annotations

from diffusion.training.text_to_image.objective import train
from diffusion.training.text_to_image.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "load_recipe", "recipe_names", "train"]
