"""Model families by name, and trained supernets. Importing this imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.families._calibration import Calibration
from nas.families._model import (
    WEIGHTS,
    Model,
    available_models,
    bind_table,
    find_model,
    load_model,
    read_model_config,
    save_calibration,
    save_model,
)
from nas.families._published import load_published, read_published
from nas.families._registry import families, get_family
from nas.families._source import Source, source_of
from nas.families._task import (
    SPLIT_WORDS,
    Evaluator,
    Examples,
    Forward,
    Quality,
    Split,
    Task,
    get_task,
    own_examples,
    quality_text,
)

if TYPE_CHECKING:
    from nas.families._table import MeasuredTable

load = load_model

__all__ = [
    "SPLIT_WORDS",
    "WEIGHTS",
    "Calibration",
    "Evaluator",
    "Examples",
    "Forward",
    "MeasuredTable",
    "Model",
    "Quality",
    "Source",
    "Split",
    "Task",
    "available_models",
    "bind_table",
    "families",
    "find_model",
    "get_family",
    "get_task",
    "load",
    "load_model",
    "load_published",
    "own_examples",
    "quality_text",
    "read_model_config",
    "read_published",
    "save_calibration",
    "save_model",
    "source_of",
]


def __getattr__(name: str) -> object:
    if name == "MeasuredTable":
        from nas.families._table import MeasuredTable

        return MeasuredTable
    raise AttributeError(f"module 'nas.families' has no attribute '{name}'")
