from .classifier import train as train
from .data import Data as Data, open_data as open_data
from .processes import is_main_process as is_main_process
from .recipe import load_recipe as load_recipe, recipe_names as recipe_names
