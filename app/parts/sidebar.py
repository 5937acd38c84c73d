"""What stands beside every page: the job that runs now, and where the runs are."""

from __future__ import annotations

import streamlit as st

from app.parts.text import plain
from nas import __version__, jobs
from nas.jobs import runs_root


@st.fragment(run_every=3.0)
def sidebar() -> None:
    """Show running jobs, shortly."""
    for job in [job for job in jobs.jobs() if job.is_live][:3]:
        progress = job.progress() or {}
        total = progress.get("total") or 0
        share = min(1.0, progress.get("done", 0) / total) if total else 0.0
        st.progress(share, text=plain(f"{job.title}: {job.state}", 80))
    st.caption(plain(f"anyfit {__version__} · runs in {runs_root().name}", 80))
