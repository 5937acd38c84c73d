from .objective import train as train
from .recipe import (
    TranslationRecipe as TranslationRecipe,
    load_recipe as load_recipe,
    recipe_names as recipe_names,
)
