from .registry import families as families
from .registry import get_family as get_family
