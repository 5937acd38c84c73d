"""Training image-to-image generators: a plain teacher, then every subnet of the separable supernet beside it."""

from __future__ import annotations

from gan_compress.pix2pix.training.objective import train
from gan_compress.pix2pix.training.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "load_recipe", "recipe_names", "train"]
