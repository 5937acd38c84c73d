from .apply import (
    contact_sheet as contact_sheet,
    find_subnet as find_subnet,
    pixels as pixels,
    read_whole as read_whole,
    translate as translate,
    translation_family as translation_family,
)
from .pairs import SAME as SAME, get_pairs as get_pairs, psnr as psnr
from .task import model_pairs as model_pairs
