"""Search: ask, watch, and see the answer with its evidence."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import state
from app.models import named_models
from app.parts import charts
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.follow import follow
from app.parts.text import budget_words, ms, pace_words, plain, quality_words, seconds_words, told
from nas import jobs
from nas.errors import NasError
from nas.jobs import list_cards, read_card, runs_root, safe_folder, search_words, start_search
from nas.latency import default_threads
from nas.search.results.candidates import read_candidates

_DEFAULTS = {"classifier": "0.5ms", "generator": "0.3ms", "translator": "0.4ms", "pipeline": "25ms"}


def form() -> None:
    """Ask what is searched for."""
    models = named_models()
    if not models:
        empty("No model", "No trained supernet is installed; `nas train` makes one.")
        return
    names = [model.name for model in models]
    with st.container(border=True):
        first, second, third = st.columns([2, 1, 1])
        with first:
            name = state.choose("Model", names, "model", help="A trained supernet, shipped or your own.")
        kind = next(model.kind for model in models if model.name == name)
        with second:
            latency = st.text_input(
                "Latency budget", _DEFAULTS[kind], key=f"latency-{kind}", help="20ms, 0.8ms, 500us, 1s"
            )
        with third:
            threads = st.number_input(
                "Threads", 1, 64, 1 if kind == "pipeline" else default_threads(), key=f"threads-{kind}"
            )
        with st.expander("More limits and settings", icon=":material/tune:"):
            one, two, three = st.columns(3)
            macs = one.text_input("MACs", "", placeholder="20M")
            params = two.text_input("Parameters", "", placeholder="1.5M")
            size = three.text_input("Size of the weights", "", placeholder="6MB")
            one, two, three, four = st.columns(4)
            runtime = one.selectbox(
                "Runtime", ["best here", "onnxruntime", "openvino", "torch", "torch-compile", "cuda"]
            )
            batch = two.number_input("Batch size", 1, 1024, 1)
            trials = three.number_input("Trials (0: as usual)", 0, 100_000, 0, step=50)
            sampler = four.selectbox("Sampler", ["anyfit", "tpe", "nsga2", "random", "evolution"])
        budget = {"latency": latency, "macs": macs, "params": params, "size": size}
        more = {
            "threads": int(threads),
            "runtime": None if runtime == "best here" else runtime,
            "batch_size": int(batch) if batch != 1 else None,
            "trials": int(trials) or None,
            "sampler": sampler if sampler != "anyfit" else None,
        }
        known = jobs.typical_seconds("search", [name])
        st.caption(
            f"Earlier searches of this model took {seconds_words(known[0])} here ({known[1]})."
            if known
            else "A first search of a model profiles this machine, about a minute; later ones take about 15 seconds."
        )
        if st.button("Search", type="primary", icon=":material/search:", key="start-search"):
            with told():
                job = start_search(name, budget, more)
                state.put(job=job.id, run=None)
                st.rerun()
        show_command(search_words(name, budget, f"{name}-1", more))


def live(run: str | None) -> None:
    """Draw what a running search has found so far."""
    if run is None:
        return
    card = read_card(run)
    limit_ms = card.budget.get("latency_ms") if card else None
    try:
        found = read_candidates(safe_folder(run))
    except NasError:
        st.caption("The first candidates are on their way.")
        return
    inside = found.feasible
    limit = limit_ms or float(found.latency_ms.max())
    best = np.where(inside, found.score, -np.inf)
    so_far = np.maximum.accumulate(best)
    sign = 1 if found.quality["higher_is_better"] else -1
    top = float(so_far[-1]) * sign if np.isfinite(so_far[-1]) else None
    columns = st.columns(4)
    columns[0].metric(f"best {found.quality['label']} so far", quality_words(top, found.quality))
    columns[1].metric("candidates", len(found))
    columns[2].metric("within the budget, predicted", int(inside.sum()))
    columns[3].metric(
        "hypervolume",
        f"{found.hypervolume(limit):.3f}",
        help="The area under the front within the budget, as a share of its box",
    )
    left, right = st.columns([3, 2])
    left.altair_chart(
        charts.pareto_chart(found, limit_ms, np.ones(len(found), dtype=bool), height=300),
        width="stretch",
        key="live-front",
    )
    values = np.where(np.isfinite(so_far), so_far * sign, np.nan)
    right.altair_chart(
        charts.growth(np.arange(len(found)), values, found.quality), width="stretch", key="live-growth"
    )


def result(run: str) -> None:
    """Show a run's answer: the promise, predicted beside measured, and what other budgets bring."""
    card = read_card(run)
    if card is None or card.kind != "search":
        st.info(plain(f"{run} is not there (yet)."))
        return
    if card.problem:
        st.error(plain(card.problem))
        return
    outcome = card.info.get("result") or {}
    quality = card.info.get("maximised") or {}
    st.subheader(plain(card.name))
    if card.answer is None:
        st.warning(plain(outcome.get("reason") or f"This run has no answer yet: it is {card.state}."))
        can_go_on = card.state in ("dead", "interrupted", "failed") and jobs.of_run(run) is None
        if can_go_on and st.button("Resume", key="resume-run", icon=":material/restart_alt:"):
            with told():
                words = ["search", "--resume", jobs.shown_path(run)]
                state.put(job=jobs.start("search", f"Resume {run}", words, run).id)
                st.rerun()
        return
    answer, columns = card.answer, st.columns(4)
    latency = answer["latency_ms"]
    columns[0].metric(
        "latency, measured",
        ms(latency["measured"]),
        help="At the machine's calm pace: the larger of two measurements in fresh processes, each beside reference "
        f"programs. The clock said {ms(latency.get('raw'))}.",
    )
    columns[1].metric("latency, predicted", ms(latency["predicted"]))
    columns[2].metric(
        f"{quality.get('label', 'quality')}, {answer['quality']['source']}",
        quality_words(answer["quality"]["value"], answer["quality"]),
    )
    columns[3].metric("budget", budget_words(card.budget))
    limit = card.budget.get("latency_ms")
    if limit is not None:
        st.success(
            f"The promise is kept: {ms(latency['measured'])} measured on this machine, within {ms(limit)}"
            f"{pace_words(answer.get('pace'))}. "
            f"The largest network takes {ms(outcome.get('largest_latency_ms'))}, "
            f"the smallest {ms(outcome.get('smallest_latency_ms'))}.",
            icon=":material/verified:",
        )
    if outcome.get("reason"):
        st.info(plain(outcome["reason"]))
    for warning in outcome.get("warnings", []):
        st.warning(plain(warning))
    rows = [
        {
            "within": budget_words(rung.get("budget") or card.budget),
            quality.get("label", "quality"): quality_words(rung["quality"]["value"], rung["quality"]),
            "quality is": rung["quality"]["source"],
            "predicted": ms(rung["latency_ms"]["predicted"]),
            "measured": ms(rung["latency_ms"]["measured"]),
            "by the clock": ms(rung["latency_ms"].get("raw")),
            "MACs": f"{rung['macs'] / 1e6:.3g} M",
            "parameters": f"{rung['params'] / 1e3:,.0f} k",
            "": ("answer, restless" if answer.get("restless") else "answer") if rung is answer else "",
        }
        for rung in sorted(
            [*outcome.get("ladder", []), answer], key=lambda rung: rung["latency_ms"]["predicted"]
        )
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    with st.container(horizontal=True):
        st.page_link(
            "app_pages/explore.py",
            label="Explore it",
            icon=":material/scatter_plot:",
            query_params={"run": run},
        )
        st.page_link(
            "app_pages/export.py", label="Export it", icon=":material/download:", query_params={"run": run}
        )
    picture = runs_root() / run / "pareto.png"
    if picture.is_file():
        with st.expander("The picture in the run folder"):
            st.image(
                str(picture), caption="Pareto front of this search: predicted candidates, measured finalists"
            )


st.title("Search")
st.markdown("The best network within a budget, **measured** on this machine before it is called the answer.")
job = jobs.find(state.get("job", ""))
run = state.get("run", "") or (job.run if job else "")
if job is None and run:
    job = jobs.of_run(run)
if job is not None:
    shown = job.run
    follow(job, lambda: live(shown))
with told():
    if run and (job is None or not job.is_live):
        safe_folder(run)
        result(run)
if job is None or not job.is_live:
    if run or job:
        if st.button("New search", icon=":material/add:"):
            state.put(job=None, run=None)
            st.rerun()
    else:
        form()
        recent = [card for card in list_cards() if card.kind == "search"][:8]
        if recent:
            st.subheader("Runs so far")
            for card in recent:
                st.page_link(
                    "app_pages/search.py",
                    label=plain(f"{card.name}: {card.state}"),
                    query_params={"run": card.name},
                )
