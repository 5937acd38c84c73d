from .apply import translation_family as translation_family
from .pairs import get_pairs as get_pairs
from .task import model_pairs as model_pairs
from .translating import (
    Translation as Translation,
    translate_pictures as translate_pictures,
)
