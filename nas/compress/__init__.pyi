from .bits import write_with_bits as write_with_bits
from .costs import Costs as Costs, costs_of as costs_of
from .distil import (
    feature_error as feature_error,
    feature_sizes as feature_sizes,
    features_of as features_of,
    output_error as output_error,
)
from .greedy import fit as fit
from .importance import (
    IMPORTANCES as IMPORTANCES,
    L1 as L1,
    BatchNormScale as BatchNormScale,
    Importance as Importance,
    OutputChange as OutputChange,
    Taylor as Taylor,
    get_importance as get_importance,
)
from .int8 import (
    SCOPES as SCOPES,
    quantize_onnx as quantize_onnx,
    quantize_onnx_dynamically as quantize_onnx_dynamically,
)
from .lora import adaptable as adaptable, add_adapters as add_adapters, merged as merged
from .model import prune_model as prune_model
from .prune import Cut as Cut, PruneConfig as PruneConfig, cuts_entries as cuts_entries, decide as decide
from .repair import REPAIRED as REPAIRED
from .repair import extracted as extracted
from .repair import repair_layers as repair_layers
from .sensitivity import (
    Sensitivity as Sensitivity,
    read_sensitivity as read_sensitivity,
    write_sensitivity as write_sensitivity,
)
from .worth import (
    PURPOSES as PURPOSES,
    WORTH as WORTH,
    Purpose as Purpose,
    Tried as Tried,
    recommend as recommend,
)
