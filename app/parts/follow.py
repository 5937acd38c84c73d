"""A job as it goes: progress, what is left, the log, Cancel and Resume. It is read from disk, whoever looks."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.parts.text import plain, seconds_words, told
from nas import jobs
from nas.jobs import command_line

_WORDS = {
    "queued": ("waits for another job to end", ":material/hourglass_empty:"),
    "running": ("runs", ":material/progress_activity:"),
    "finished": ("finished", ":material/check_circle:"),
    "infeasible": ("found no subnet within the budget", ":material/block:"),
    "failed": ("failed", ":material/error:"),
    "cancelled": ("was cancelled", ":material/cancel:"),
    "dead": ("ended without a last word", ":material/warning:"),
}


def state_words(state: str) -> str:
    """Return a job's state for readers."""
    return _WORDS.get(state, (state, ""))[0]


def follow(job: jobs.Job, live: Callable[[], None] | None = None) -> None:
    """Show a job. While it lives this part of the page is drawn anew each second, then the whole page once.

    `live` draws what is known of its results so far.
    """
    if not job.is_live:
        _ended(job)
        return

    @st.fragment(run_every=1.0)
    def watch() -> None:
        now = jobs.find(job.id)
        if now is None or not now.is_live:
            st.rerun()
        assert now is not None
        _running(now)
        if live is not None:
            live()

    watch()


def _running(job: jobs.Job) -> None:
    words, icon = _WORDS[job.state]
    if job.is_stopping:
        words = "is stopping: a search measures its best so far first"
    left, right = st.columns([5, 1], vertical_alignment="center")
    spent = "" if job.seconds is None else f" · {seconds_words(job.seconds)}"
    left.markdown(f"{icon} **{plain(job.title)}** {words}{spent}")
    if right.button(
        "Cancel", key=f"cancel-{job.id}", icon=":material/stop:", disabled=job.is_stopping, width="stretch"
    ):
        job.cancel()
        st.rerun()
    progress = job.progress()
    if progress is None:
        st.progress(0.0, text="starting" if job.state == "running" else "in the queue")
    else:
        done, total = progress["done"], progress["total"]
        count = f" · {done} of {total}" if total else ""
        eta = "" if progress["left_s"] is None else f" · about {seconds_words(progress['left_s'])} left"
        note = f" · {progress['note']}" if progress.get("note") else ""
        share = min(1.0, done / total) if total else 0.0
        st.progress(share, text=plain(f"{progress['stage']}{count}{eta}{note}"))
    with st.expander("Log", icon=":material/notes:"):
        st.code(job.log() or "nothing yet", language=None)


def _ended(job: jobs.Job) -> None:
    words, icon = _WORDS.get(job.state, (job.state, ""))
    took = "" if job.seconds is None or job.state == "dead" else f" after {seconds_words(job.seconds)}"
    text = f"{icon} **{plain(job.title)}** {words}{took}"
    if job.state == "finished":
        st.success(text)
    else:
        reason = f": {plain(job.failure())}" if job.state != "cancelled" else ""
        (st.warning if job.state in ("cancelled", "infeasible") else st.error)(text + reason)
        label = "Resume" if job.kind == "search" and job.state != "infeasible" else "Try again"
        if st.button(label, key=f"again-{job.id}", icon=":material/restart_alt:"):
            with told():
                new = job.again()
                st.query_params["job"] = new.id
                st.rerun()
    with st.expander("Log", icon=":material/notes:"):
        st.code(job.log() or "it said nothing", language=None)
        st.code(command_line(job.argv), language="bash", wrap_lines=True)
