from ._dimension import Choice as Choice
from ._dimension import Dimension as Dimension
from ._dimension import SpaceError as SpaceError
from ._plain import plain_codes as plain_codes
from ._space import INACTIVE as INACTIVE
from ._space import SearchSpace as SearchSpace
from ._subnet import Subnet as Subnet
