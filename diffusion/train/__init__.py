"""Training pipelines: from scratch on captioned images."""

from __future__ import annotations

from diffusion.train.objective import train
from diffusion.train.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "load_recipe", "recipe_names", "train"]
