from .edit import Directions as Directions
from .family import RATIOS as RATIOS
from .generate import (
    difference as difference,
    generator_family as generator_family,
    interpolate as interpolate,
    load_generator as load_generator,
    ratio_subnet as ratio_subnet,
    synthesize as synthesize,
    to_pixels as to_pixels,
)
from .projection import ProjectionSettings as ProjectionSettings
from .verbs.images import (
    edit_images as edit_images,
    interpolate_images as interpolate_images,
    sample_images as sample_images,
)
from .verbs.measuring import (
    compare_subnets as compare_subnets,
    evaluate_fidelity as evaluate_fidelity,
    label_directions as label_directions,
)
from .verbs.preview import preview_image as preview_image
from .verbs.projecting import project_picture as project_picture
from .verbs.subnets import asked_styles as asked_styles, open_generator as open_generator
