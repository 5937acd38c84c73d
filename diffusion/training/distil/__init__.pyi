from .examples import real_examples as real_examples
from .recipe import (
    DistillationRecipe as DistillationRecipe,
    load_recipe as load_recipe,
    recipe_names as recipe_names,
)
from .run import distil as distil
