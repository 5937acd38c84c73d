from .dataset import Data as Data
from .dataset import open_data as open_data
