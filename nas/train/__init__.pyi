from .classifiers.objective import train as train
from .processes import is_main_process as is_main_process
from .classifiers.recipe import load_recipe as load_recipe
from .classifiers.recipe import recipe_names as recipe_names
