"""Searching: which subnet is best within a budget, as an Optuna study whose finalists are measured.

Nothing is imported before it is used, so that a command line that only shows help stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.search._folder import RUNNING, RunFolder, free_name, is_alive, own_process
    from nas.search._model_testbed import ModelTestbed, open_testbed
    from nas.search._outcome import Choice, Outcome
    from nas.search._picture import pareto_figure
    from nas.search._problem import Problem
    from nas.search._testbed import Progress, Testbed, silent
    from nas.search._trials import SAMPLERS
    from nas.search.budget import Budget
    from nas.search.candidates import Candidates, read_candidates
    from nas.search.config import SearchConfig
    from nas.search.run import new_run, resume_run, stored_outcome
    from nas.search.sampler import AnyfitSampler
    from nas.search.scorer import Scorer, load_scorer

_HOMES = {
    "AnyfitSampler": "sampler",
    "Budget": "budget",
    "Candidates": "candidates",
    "Choice": "_outcome",
    "ModelTestbed": "_model_testbed",
    "Outcome": "_outcome",
    "Problem": "_problem",
    "Progress": "_testbed",
    "RUNNING": "_folder",
    "RunFolder": "_folder",
    "SAMPLERS": "_trials",
    "Scorer": "scorer",
    "SearchConfig": "config",
    "Testbed": "_testbed",
    "free_name": "_folder",
    "is_alive": "_folder",
    "load_scorer": "scorer",
    "new_run": "run",
    "open_testbed": "_model_testbed",
    "own_process": "_folder",
    "pareto_figure": "_picture",
    "read_candidates": "candidates",
    "resume_run": "run",
    "silent": "_testbed",
    "stored_outcome": "run",
}

__all__ = [
    "RUNNING",
    "SAMPLERS",
    "AnyfitSampler",
    "Budget",
    "Candidates",
    "Choice",
    "ModelTestbed",
    "Outcome",
    "Problem",
    "Progress",
    "RunFolder",
    "Scorer",
    "SearchConfig",
    "Testbed",
    "free_name",
    "is_alive",
    "load_scorer",
    "new_run",
    "open_testbed",
    "own_process",
    "pareto_figure",
    "read_candidates",
    "resume_run",
    "silent",
    "stored_outcome",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
