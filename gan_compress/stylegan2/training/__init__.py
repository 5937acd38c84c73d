"""Training generators: from scratch against a discriminator, then every subnet beside the frozen full generator."""

from __future__ import annotations

from gan_compress.stylegan2.training.objective import train
from gan_compress.stylegan2.training.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "load_recipe", "recipe_names", "train"]
