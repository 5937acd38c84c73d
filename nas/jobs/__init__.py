"""Long work as processes of their own: started, followed, cancelled and found again by anyone who looks at the folder.

A job is a `nas` command that a supervisor starts as soon as no other job runs. It outlives whoever started it: the
app, a client of `nas mcp`, a notebook.

    from nas import jobs

    job = jobs.start_search("mbv3-cifar10", {"latency": "1ms"}, {"threads": 1})
    jobs.find(job.id).progress()       # stage, done, total, seconds left
    jobs.find(job.id).cancel()         # a search ends with its best so far
    jobs.read_card(job.run)            # what the run folder says

All folders are below one root: that of the environment variable `ANYFIT_RUNS`, else ./runs.
"""

from __future__ import annotations

from nas.jobs._cards import Card, list_cards, read_card, searches
from nas.jobs._folders import VARIABLE, free_run, runs_root, safe_folder, shown_path, use_root
from nas.jobs._job import (
    CANCEL,
    LIVE,
    STDOUT,
    Job,
    command_line,
    command_words,
    find,
    jobs,
    jobs_root,
    of_run,
    read_info,
    reap,
    start,
    typical_seconds,
    write_info,
)
from nas.jobs._searches import new_name, search_words, start_search
from nas.jobs._turn import turn

__all__ = [
    "CANCEL",
    "LIVE",
    "STDOUT",
    "VARIABLE",
    "Card",
    "Job",
    "command_line",
    "command_words",
    "find",
    "free_run",
    "jobs",
    "jobs_root",
    "list_cards",
    "new_name",
    "of_run",
    "read_card",
    "read_info",
    "reap",
    "runs_root",
    "safe_folder",
    "search_words",
    "searches",
    "shown_path",
    "start",
    "start_search",
    "turn",
    "typical_seconds",
    "use_root",
    "write_info",
]
