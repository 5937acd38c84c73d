from ._calibration import Calibration as Calibration
from ._model import (
    WEIGHTS as WEIGHTS,
    FamilyT as FamilyT,
    Model as Model,
    available_models as available_models,
    bind_table as bind_table,
    find_model as find_model,
    load_model as load_model,
    model_place as model_place,
    read_model_config as read_model_config,
    save_calibration as save_calibration,
    save_model as save_model,
)
from ._published import load_published as load_published, read_published as read_published
from ._registry import families as families, get_family as get_family
from ._source import ModelSource as ModelSource, source_of as source_of, sources as sources
from ._table import MeasuredTable as MeasuredTable
from ._task import (
    SPLIT_WORDS as SPLIT_WORDS,
    Evaluator as Evaluator,
    Examples as Examples,
    Forward as Forward,
    Quality as Quality,
    Split as Split,
    Task as Task,
    Training as Training,
    get_task as get_task,
    own_examples as own_examples,
    quality_text as quality_text,
)
