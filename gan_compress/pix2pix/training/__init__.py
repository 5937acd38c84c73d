"""Training image-to-image generators: a plain teacher, then every subnet of the separable supernet beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from gan_compress.pix2pix.training.objective import train
    from gan_compress.pix2pix.training.recipe import TranslationRecipe, load_recipe, recipe_names

__all__ = [
    "TranslationRecipe",
    "load_recipe",
    "recipe_names",
    "train",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "TranslationRecipe": "gan_compress.pix2pix.training.recipe",
        "load_recipe": "gan_compress.pix2pix.training.recipe",
        "recipe_names": "gan_compress.pix2pix.training.recipe",
        "train": "gan_compress.pix2pix.training.objective",
    },
)
