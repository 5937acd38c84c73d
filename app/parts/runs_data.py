"""Runs read once for all sessions: what is cached is never changed, and only so many are kept."""

from __future__ import annotations

import numpy as np
import streamlit as st

from nas.errors import NasError
from nas.jobs import safe_folder
from nas.search.results.candidates import TABLE, Candidates, read_candidates
from nas.search.results.importance import importances


def open_candidates(run: str) -> Candidates:
    """Return the candidates of a run, read anew only where its table has changed."""
    folder = safe_folder(run)
    try:
        stamp = (folder / TABLE).stat().st_mtime_ns
    except OSError as error:
        raise NasError(f"{run} has no candidates yet; wait for its first trials, or resume it") from error
    return _read(str(folder), stamp)


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(folder: str, stamp: int) -> Candidates:
    found = read_candidates(folder)
    for value in vars(found).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return found


@st.cache_data(max_entries=32, show_spinner=False)
def open_importances(folder: str, stamp: int, kept: tuple[tuple[str, tuple], ...]) -> dict[str, float]:
    """Return the importances of a run's dimensions among the candidates with the `kept` choices."""
    found = _read(folder, stamp)
    return importances(found, found.allowed(dict(kept)) if kept else None)


def stamp_of(run: str) -> tuple[str, int]:
    """Return what `open_importances` asks for: the folder and when its table was written."""
    folder = safe_folder(run)
    return str(folder), (folder / TABLE).stat().st_mtime_ns
