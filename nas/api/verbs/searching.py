"""Searching: from a configuration to a result, from the beginning or where a run stopped."""

from __future__ import annotations

from pathlib import Path

from nas import models
from nas.api.model import Model
from nas.api.results import SearchResult
from nas.errors import UsageError
from nas.progress import Listener, as_progress
from nas.search import (
    ModelTestbed,
    RunFolder,
    SearchConfig,
    new_run,
    open_testbed,
    resume_run,
    stored_outcome,
)


def search_model(
    config: SearchConfig,
    run_dir: str | Path | None = None,
    progress: Listener | None = None,
    model: models.Model | None = None,
) -> SearchResult:
    """Search as a configuration says, in a new run folder.

    Args:
        config: The budget, the model, what measures, how long is looked.
        run_dir: A new folder; None for runs/MODEL-BUDGET-N.
        progress: Hears stages, steps and remarks; without one nothing is said.
        model: The loaded model of the configuration; None loads it.

    Returns:
        The result; without an answer where no subnet keeps the budget, `outcome.reason` says why.

    Raises:
        UsageError: A folder that exists, an unknown model or runtime, data that do not fit.
    """
    folder, hear = None if run_dir is None else Path(run_dir), as_progress(progress)
    if folder is not None and folder.exists():
        raise UsageError(f"{folder} already exists; name a new folder, or continue it with --resume")
    with open_testbed(config, hear, model) as testbed:
        if config.data is None and testbed.scorer.source == "measured":
            hear.remark(_without_table(config, testbed))
        outcome = new_run(config, testbed, folder, f"{testbed.model.path.name}-{config.budget.slug}", hear)
        return SearchResult(outcome, Model.of(testbed.model))


def resume_search(
    run_dir: str | Path, trials: int | None = None, progress: Listener | None = None
) -> SearchResult:
    """Continue a search that was stopped, or extend a finished one.

    Args:
        run_dir: The run's folder.
        trials: Subnets to evaluate in all; None for as many as the run was to evaluate.
        progress: Hears stages, steps and remarks; without one nothing is said.

    Returns:
        The result; that of a finished run which needs no more trials is read from its folder.

    Raises:
        UsageError: No run's folder, or a run that is searched by another process right now.
    """
    folder = RunFolder.open(Path(run_dir))
    folder.require_idle()
    with open_testbed(SearchConfig.from_run(folder.info), progress) as testbed:
        known = stored_outcome(folder, testbed, trials)
        return SearchResult(known or resume_run(folder, testbed, trials, progress), Model.of(testbed.model))


def _without_table(config: SearchConfig, testbed: ModelTestbed) -> str:
    kind = testbed.scorer.quality
    return (
        f"{testbed.model.path.name} has no table of {kind.label}, so that each trial is measured; "
        f"`nas measure {config.model} --quality {kind.name}` makes one, and searches then take seconds"
    )


__all__ = ["resume_search", "search_model"]
