"""Searching: which subnet is best within a budget, as an Optuna study whose finalists are measured.

Nothing is imported before it is used, so that a command line that only shows help stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.search._folder import RUNNING, RunFolder, free_name, is_alive, own_process
    from nas.search._outcome import Choice, Outcome
    from nas.search._problem import Problem
    from nas.search._testbed import ModelTestbed, Subject, Testbed
    from nas.search._trials import SAMPLERS
    from nas.search.budget import Budget
    from nas.search.run import Request, new_run, resume_run, stored_outcome
    from nas.search.sampler import AnyfitSampler
    from nas.search.scorer import Scorer, load_scorer

_HOMES = {
    "AnyfitSampler": "sampler",
    "Budget": "budget",
    "Choice": "_outcome",
    "ModelTestbed": "_testbed",
    "Outcome": "_outcome",
    "Problem": "_problem",
    "Request": "run",
    "RUNNING": "_folder",
    "RunFolder": "_folder",
    "SAMPLERS": "_trials",
    "Scorer": "scorer",
    "Subject": "_testbed",
    "Testbed": "_testbed",
    "free_name": "_folder",
    "is_alive": "_folder",
    "load_scorer": "scorer",
    "new_run": "run",
    "own_process": "_folder",
    "resume_run": "run",
    "stored_outcome": "run",
}

__all__ = [
    "RUNNING",
    "SAMPLERS",
    "AnyfitSampler",
    "Budget",
    "Choice",
    "ModelTestbed",
    "Outcome",
    "Problem",
    "Request",
    "RunFolder",
    "Scorer",
    "Subject",
    "Testbed",
    "free_name",
    "is_alive",
    "load_scorer",
    "new_run",
    "own_process",
    "resume_run",
    "stored_outcome",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
