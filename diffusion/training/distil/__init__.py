"""Training a pipeline's UNet beside the frozen original: every subnet, or one that is recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from diffusion.training.distil.examples import real_examples
    from diffusion.training.distil.recipe import DistillationRecipe, load_recipe, recipe_names
    from diffusion.training.distil.run import distil

__all__ = [
    "DistillationRecipe",
    "distil",
    "load_recipe",
    "real_examples",
    "recipe_names",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "DistillationRecipe": "diffusion.training.distil.recipe",
        "distil": "diffusion.training.distil.run",
        "load_recipe": "diffusion.training.distil.recipe",
        "real_examples": "diffusion.training.distil.examples",
        "recipe_names": "diffusion.training.distil.recipe",
    },
)
