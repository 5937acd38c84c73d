from .objective import train as train
from .recipe import (
    GeneratorRecipe as GeneratorRecipe,
    load_recipe as load_recipe,
    recipe_names as recipe_names,
)
