"""A whole search in a run folder: from the beginning, continued, or read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nas.errors import UsageError
from nas.progress import Listener
from nas.search.results.outcome import Outcome
from nas.search.search import Search
from nas.search.testbed.interface import Testbed
from nas.search.trials.config import SearchConfig
from nas.search.trials.folder import FINISHED, RUNNING, RunFolder, free_name
from nas.search.trials.storage import drop_stale_lock


def new_run(
    config: SearchConfig, testbed: Testbed, run_dir: Path | None, stem: str, progress: Listener | None = None
) -> Outcome:
    """Search from the beginning in a new folder (default: runs/<stem>-<n>).

    An infeasible budget is answered before the folder is made. Raises `UsageError` when `run_dir` exists.
    """
    if run_dir is not None and run_dir.exists():
        raise UsageError(f"{run_dir} already exists; name a new folder, or continue it with --resume")
    run = Search(config, testbed, progress)
    if (refusal := run.refuse()) is not None:
        return refusal
    path = free_name(Path("runs"), stem) if run_dir is None else run_dir
    quality = testbed.scorer.quality
    folder = RunFolder.create(
        path,
        {
            **config.to_dict(),
            "study": path.name,
            "space": testbed.space.to_dict(),
            "maximised": {
                name: getattr(quality, name) for name in ("name", "label", "unit", "higher_is_better")
            },
        },
    )
    return run.go(folder)


def resume_run(
    folder: RunFolder, testbed: Testbed, trials: int | None = None, progress: Listener | None = None
) -> Outcome:
    """Continue a run that was killed or interrupted, or extend a finished one to more `trials`."""
    folder.require_idle()
    config = SearchConfig.from_run(folder.info, trials)
    run = Search(config, testbed, progress)
    if (refusal := run.refuse()) is not None:
        return replace(refusal, run_dir=folder.path)
    drop_stale_lock(folder.path)
    folder.set_state(RUNNING, trials=config.trials)
    return run.go(folder)


def stored_outcome(folder: RunFolder, testbed: Testbed, trials: int | None) -> Outcome | None:
    """Return the result of a finished run that needs no more trials, else None."""
    wanted = trials or 0
    if folder.info.get("state") != FINISHED or wanted > folder.info["result"]["trials"]:
        return None
    return Outcome.from_dict(folder.info["result"], testbed.space, testbed.scorer.quality, folder.path)
