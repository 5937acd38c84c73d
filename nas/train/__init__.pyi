from .classifiers.objective import train as train
from .classifiers.distilled import train_distilled as train_distilled
from .processes import is_main_process as is_main_process
from .classifiers.recipe import load_recipe as load_recipe
from .classifiers.recipe import distillation_names as distillation_names
from .classifiers.recipe import recipe_names as recipe_names
