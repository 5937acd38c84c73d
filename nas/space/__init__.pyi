from ._dimension import Choice as Choice, Dimension as Dimension, SpaceError as SpaceError
from ._plain import plain_codes as plain_codes
from ._space import INACTIVE as INACTIVE, SearchSpace as SearchSpace
from ._subnet import Subnet as Subnet
