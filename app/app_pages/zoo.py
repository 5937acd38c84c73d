"""Published models: drag the latency budget and see which one is best within it on this machine."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import state
from app.parts.command import show_command
from app.parts.follow import follow
from app.parts.text import ms, plain, told
from app.parts.zoo_chart import zoo_chart
from nas import jobs
from nas.latency import Workload, default_runtime
from nas.zoo import QUALITIES, SAMPLES, Forecast, Zoo, ZooProfile, open_profile, open_zoo

_LABELS = {"top1": "top-1", "top5": "top-5"}
_STEPS = (1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
_LIMITS = [
    limit for power in (1, 10, 100) for step in _STEPS if (limit := float(round(power * step, 1))) <= 400
]


@st.cache_resource(max_entries=1, show_spinner="reading the published models")
def zoo() -> Zoo:
    """Return timm's published models."""
    return open_zoo("timm")


@st.cache_resource(max_entries=8, show_spinner="predicting")
def forecast(threads: int, quality: str, stamp: int) -> Forecast:
    """Return what each model takes here, as far as the profile of `stamp` tells."""
    return Forecast(zoo(), profile(threads), quality)


def profile(threads: int) -> ZooProfile:
    """Return what this machine has measured."""
    return open_profile(zoo(), default_runtime(), Workload(threads=threads))


def known(threads: int, quality: str) -> Forecast:
    """Return the newest forecast."""
    path = profile(threads).path
    return forecast(threads, quality, path.stat().st_mtime_ns if path.exists() else 0)


def best(found: Forecast, limit_ms: float, label: str) -> None:
    """Show the best models within the budget, and the next one beyond it."""
    entries = [found.entry(index) for index in found.best(limit_ms, 10)]
    larger = next((i for i in found.front() if found.ms[i] > limit_ms), None)
    columns = st.columns(4)
    if not entries:
        st.warning(f"No published model takes {ms(limit_ms)} or less here, as far as is known.")
        return
    first = next((entry for entry in entries if entry.measured_ms is not None), entries[0])
    columns[0].metric(f"best {label} within {ms(limit_ms)}", f"{first.quality:.2f}%")
    is_measured = first.measured_ms is not None
    columns[1].metric("latency, measured" if is_measured else "latency, predicted", ms(first.ms))
    columns[2].metric("models measured here", len(found.profile.timed))
    error = found.error.get("median_pct")
    columns[3].metric(
        "predictions err by",
        "–" if error is None else f"{error:.1f}%",
        help="Median, of models held out in turn",
    )
    st.markdown(
        f"**{plain(first.model.name)}** at {first.model.image_size} px, licence {plain(first.model.license)}"
    )
    if larger is not None:
        more = found.entry(larger)
        st.caption(
            plain(f"The next better one, {more.model.name}, has {more.quality:.2f}% and takes {ms(more.ms)}.")
        )
    st.altair_chart(zoo_chart(found, limit_ms, label), width="stretch", key="zoo-front")
    st.dataframe(
        [
            {
                "model": entry.model.name,
                label: f"{entry.quality:.2f}%",
                "measured": ms(entry.measured_ms),
                "predicted": ms(entry.predicted_ms),
                "input": f"{entry.model.image_size} px",
                "parameters": f"{entry.model.params / 1e6:.1f} M",
                "licence": entry.model.license,
            }
            for entry in entries
        ],
        hide_index=True,
        width="stretch",
    )


st.title("Published models")
st.markdown("Which of timm's published models is best within a latency **on this machine**?")
one, two, three = st.columns([3, 1, 1])
wanted = state.get("limit", 20.0, float)
start = min(_LIMITS, key=lambda value: abs(np.log(value / wanted)) if 0 < wanted < np.inf else value)
limit = one.select_slider("Latency budget", _LIMITS, start, format_func=ms, key="zoo-limit")
quality = two.selectbox("Accuracy", QUALITIES, format_func=_LABELS.__getitem__, key="zoo-quality")
threads = int(three.number_input("Threads", 1, 64, 1, key="zoo-threads"))
state.put(limit=limit)
job = jobs.find(state.get("job", ""))


def live() -> None:
    """Show what is known so far."""
    best(known(threads, quality), limit, _LABELS[quality])


if job is not None:
    follow(job, live)
if job is None or not job.is_live:
    if not profile(threads).timed:
        st.info(
            f"Nothing is measured here yet, so that these latencies are guesses. Measuring about {SAMPLES} models "
            "takes up to ten minutes, once; what is measured is kept."
        )
    with told():
        live()
    words = jobs.command_words("search", zoo="timm", latency=f"{limit:g}ms", quality=quality, threads=threads)
    if st.button(
        f"Measure the best within {ms(limit)}", type="primary", key="start-zoo", icon=":material/search:"
    ):
        with told():
            state.put(job=jobs.start("search", f"Search the zoo within {ms(limit)}", words).id)
            st.rerun()
    show_command(words)
