"""Search spaces: dimensions with their choices, and the subnets one can choose."""

from nas.space._dimension import Choice, Dimension, SpaceError
from nas.space._plain import plain_codes
from nas.space._space import INACTIVE, SearchSpace
from nas.space._subnet import Subnet

__all__ = ["INACTIVE", "Choice", "Dimension", "SearchSpace", "SpaceError", "Subnet", "plain_codes"]
