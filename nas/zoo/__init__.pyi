from .counting import operation_counts as operation_counts
from .facts import (
    COUNTS as COUNTS,
    FACTS as FACTS,
    QUALITIES as QUALITIES,
    PublishedModel as PublishedModel,
    Zoo as Zoo,
    create_timm as create_timm,
    open_zoo as open_zoo,
)
from .forecast import Entry as Entry, Forecast as Forecast
from .measuring import ModelTimer as ModelTimer
from .predictor import LatencyPredictor as LatencyPredictor, held_out as held_out
from .profile import Timed as Timed, ZooProfile as ZooProfile, open_profile as open_profile
from .result import ZooResult as ZooResult
from .search import SAMPLES as SAMPLES, Timer as Timer, ZooSearch as ZooSearch
