from .consistency import (
    Consistency as Consistency,
    Labelled as Labelled,
    measure_consistency as measure_consistency,
    uniform_subnets as uniform_subnets,
)
from .edit import Directions as Directions, FILE as FILE, find_directions as find_directions
from .fidelity import measure_fidelity as measure_fidelity
from .generate import (
    class_index as class_index,
    difference as difference,
    generator_family as generator_family,
    interpolate as interpolate,
    is_ratio as is_ratio,
    latents as latents,
    load_generator as load_generator,
    ratio_subnet as ratio_subnet,
    styles as styles,
    synthesize as synthesize,
    to_pixels as to_pixels,
)
from .projection import Projection as Projection, ProjectionSettings as ProjectionSettings, project as project
from .task import resolution_of as resolution_of
from .tensors import model_of as model_of
