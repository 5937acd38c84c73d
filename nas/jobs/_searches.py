"""Searches as jobs: their words, and a run folder that nobody else takes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nas import search
from nas.errors import UsageError
from nas.jobs._folders import free_run, safe_folder, shown_path
from nas.jobs._job import Job, command_words, jobs, start

_BUDGETS = ("latency", "macs", "params", "size")


def search_words(
    model: str, budget: Mapping[str, str], run: str, more: Mapping[str, object] | None = None
) -> list[str]:
    """Return the words of a search: `nas search …`."""
    limits = {name: budget.get(name, "").strip() for name in _BUDGETS}
    return command_words("search", model=model, **limits, **(more or {}), run_dir=shown_path(run))


def start_search(model: str, budget: Mapping[str, str], more: Mapping[str, object] | None = None) -> Job:
    """Start a search into a new run; a budget that cannot be read raises `UsageError` before anything is made."""
    parsed = search.Budget.parse(*(budget.get(name) or None for name in _BUDGETS))
    stem = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{model.rpartition('/')[2]}-{parsed.slug}").strip("-.") or "run"
    run = _free(stem)
    words = search_words(model, budget, run, more)
    return start("search", f"Search {model} within {parsed}", words, run)


def _free(stem: str) -> str:
    """Return a run's name that no folder and no waiting job has."""
    name = free_run(stem)
    taken = {job.run for job in jobs() if job.is_live}
    number = 1
    while name in taken or safe_folder(name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name


def new_name(text: str) -> str:
    """Return a name for a new folder; raises `UsageError` where it is none or is taken."""
    path = safe_folder(text.strip())
    if path.exists() or text.strip() in {job.run for job in jobs() if job.is_live}:
        raise UsageError(f"{text.strip()!r} already exists; choose another name")
    return path.name
