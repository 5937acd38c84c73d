"""Training generators: from scratch against a discriminator, then every subnet beside the frozen full generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from gan_compress.stylegan2.training.objective import train
    from gan_compress.stylegan2.training.recipe import GeneratorRecipe, load_recipe, recipe_names

__all__ = [
    "GeneratorRecipe",
    "load_recipe",
    "recipe_names",
    "train",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "GeneratorRecipe": "gan_compress.stylegan2.training.recipe",
        "load_recipe": "gan_compress.stylegan2.training.recipe",
        "recipe_names": "gan_compress.stylegan2.training.recipe",
        "train": "gan_compress.stylegan2.training.objective",
    },
)
