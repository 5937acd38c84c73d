"""Making networks cheaper: importance, sensitivity, pruning, few bits, int8, and the rule of what is worth it."""

from nas.compress.bits import write_with_bits
from nas.compress.costs import Costs, costs_of
from nas.compress.greedy import fit
from nas.compress.importance import (
    IMPORTANCES,
    L1,
    BatchNormScale,
    Importance,
    OutputChange,
    Taylor,
    get_importance,
)
from nas.compress.int8 import SCOPES, quantize_onnx, quantize_onnx_dynamically
from nas.compress.model import prune_model
from nas.compress.prune import Cut, PruneConfig, cuts_entries, decide
from nas.compress.sensitivity import Sensitivity, read_sensitivity, sensitivity, write_sensitivity
from nas.compress.worth import PURPOSES, WORTH, Purpose, Tried, recommend

__all__ = [
    "IMPORTANCES",
    "L1",
    "PURPOSES",
    "SCOPES",
    "WORTH",
    "BatchNormScale",
    "Costs",
    "Cut",
    "Importance",
    "OutputChange",
    "PruneConfig",
    "Purpose",
    "Sensitivity",
    "Taylor",
    "Tried",
    "costs_of",
    "cuts_entries",
    "decide",
    "fit",
    "get_importance",
    "prune_model",
    "quantize_onnx",
    "quantize_onnx_dynamically",
    "read_sensitivity",
    "recommend",
    "sensitivity",
    "write_sensitivity",
    "write_with_bits",
]
