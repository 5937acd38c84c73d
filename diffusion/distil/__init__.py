"""Elastic training of a pipeline's UNet: every subnet learns from the frozen original."""

from __future__ import annotations

from diffusion.distil.engine import distil
from diffusion.distil.recipe import Recipe, load_recipe, recipe_names

__all__ = ["Recipe", "distil", "load_recipe", "recipe_names"]
