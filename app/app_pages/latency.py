"""Latency: what the predictor says and what was measured, what each part costs, and whether the machine has moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import state
from app.models import named_models
from app.parts import charts
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.follow import follow
from app.parts.runs_data import open_candidates
from app.parts.text import ms, plain, told
from nas import export, jobs, latency
from nas.errors import NasError
from nas.files import read_json
from nas.jobs import searches
from nas.latency.profiles.profile import GOOD_PCT
from nas.models import load_model


@st.cache_data(max_entries=16, show_spinner=False)
def opened(path: str, stamp: int) -> dict[str, Any]:
    """Return a profile as it is on disk, checked as far as this page reads it."""
    value = read_json(path)
    try:
        bound, samples = value["bound"], value["samples"]
        return {
            "runtime": f"{bound['runtime']} {bound['runtime_version']}",
            "workload": dict(bound["workload"]),
            "machine": dict(bound["machine"]),
            "family": bound["family"],
            "error": {name: float(number) for name, number in value["error"].items()},
            "kind": value["predictor"]["kind"],
            "median_ms": [float(number) for number in samples["median_ms"]],
            "p90_ms": [float(number) for number in samples["p90_ms"]],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NasError(
            f"{Path(path).name} is no whole device profile ({error!r}); measure it again"
        ) from error


@st.cache_data(max_entries=16, show_spinner="predicting")
def predicted(path: str, stamp: int, model: str) -> list[float] | None:
    """Return what the profile's predictor says of its own samples, None where it is not of this machine and space."""
    bound = read_json(path)["bound"]
    try:
        loaded, workload = load_model(model), latency.Workload.from_dict(bound["workload"])
        profile = latency.load_profile(loaded, latency.get_runtime(bound["runtime"]), workload, path)
    except NasError:
        return None
    return profile.predict_ms(profile.codes).tolist()


@st.cache_data(max_entries=16, show_spinner=False)
def part_costs(model: str) -> tuple[list[str], list[int]]:
    """Return the parts of the largest subnet, grouped, and their MACs."""
    loaded = load_model(model)
    groups = export.architecture(loaded.supernet, loaded.space.largest()).groups
    return [group.name for group in groups], [group.macs for group in groups]


def show_profile(path: Path, model: str) -> None:
    """Show one profile: its error, its samples, and how it compares with the machine now."""
    stamp = path.stat().st_mtime_ns
    profile = opened(str(path), stamp)
    median, p90 = np.array(profile["median_ms"]), np.array(profile["p90_ms"])
    columns = st.columns(4)
    columns[0].metric("smallest, measured", ms(float(median[0])))
    columns[1].metric("largest, measured", ms(float(median[1])))
    columns[2].metric("median error, held out", f"{profile['error'].get('median_pct', float('nan')):.1f}%")
    columns[3].metric(
        "p90 over p50",
        f"{float(np.median(p90 / median)):.2f}",
        help="How far single runs lie above the median",
    )
    if profile["error"].get("median_pct", 0.0) > GOOD_PCT:
        st.warning(
            f"This profile errs by more than {GOOD_PCT:.0f}%: searches measure more finalists. Profile anew on a calm "
            "machine.",
            icon=":material/warning:",
        )
    machine = profile["machine"]
    workload = ", ".join(f"{name} {value}" for name, value in profile["workload"].items())
    device = machine.get("gpu") or machine.get("processor")
    st.caption(plain(f"{profile['runtime']}, {workload}, {device}, predictor: {profile['kind']}"))
    values = predicted(str(path), stamp, model)
    if values is None:
        st.info(
            "This profile is of another machine, runtime version or search space, so it predicts nothing here."
        )
        return
    left, right = st.columns(2)
    left.altair_chart(
        charts.predicted_measured(np.array(values), median, "of the profile"),
        width="stretch",
        key="predicted-measured",
    )
    right.altair_chart(charts.error_histogram(np.array(values), median), width="stretch", key="errors")
    note = "The predictor was fitted to these samples; the held-out error above is the honest one."
    st.caption(
        note
        if profile["kind"] != "sum of programs"
        else "Whole outputs, to which the predictor was not fitted."
    )


def show_drift(model: str, bound: dict[str, Any]) -> None:
    """Offer to measure again, and show what came of it."""
    st.subheader("Has the machine moved?")
    workload = bound["workload"]
    words = jobs.command_words(
        "profile", model=model, runtime=bound["runtime"].split()[0], threads=workload["threads"],
        batch_size=workload["batch_size"], json=True,
    )  # fmt: skip
    with st.container(horizontal=True):
        if st.button("Measure a few again", icon=":material/restart_alt:", key="drift"):
            job = jobs.start("drift", f"Drift of {model}", [*words, "--drift"])
            state.put(job=job.id)
            st.rerun()
        if st.button("Profile anew", icon=":material/speed:", key="profile-anew"):
            job = jobs.start("profile", f"Profile {model}", [*words, "--force"])
            state.put(job=job.id)
            st.rerun()
    last = next((job for job in jobs.jobs("drift") if job.state == "finished" and model in job.argv), None)
    if last is not None:
        try:
            answer = json.loads(last.output())
            ratio = float(answer["ratio"])
        except (ValueError, KeyError, TypeError):
            return
        verdict = "as when it was profiled" if abs(ratio - 1) < 0.05 else "slower" if ratio > 1 else "quicker"
        st.metric(
            "calm latency now over then, median of a few subnets",
            f"{ratio:.2f}×",
            f"the machine is {verdict}",
            delta_color="off",
        )
        if (pace := float(answer.get("pace", 1.0))) >= 1.05:
            st.caption(f"By the clock it takes {pace:.2f} times as long at the moment as when it is calm.")


def show_runs(model: str) -> None:
    """Show predicted against measured latency of the finalists of all runs of a model: an honest test."""
    pairs: list[tuple[float, float]] = []
    for card in searches()[:20]:
        if card.model != model:
            continue
        try:
            found = open_candidates(card.name)
        except NasError:
            continue
        rows = np.isfinite(found.measured_ms)
        pairs += zip(found.predicted_ms[rows].tolist(), found.measured_ms[rows].tolist(), strict=True)
    if len(pairs) < 2:
        return
    st.subheader("Finalists of your runs")
    values = np.array(pairs)
    left, right = st.columns(2)
    left.altair_chart(
        charts.predicted_measured(values[:, 0], values[:, 1], "of finalists"),
        width="stretch",
        key="runs-predicted",
    )
    right.altair_chart(charts.error_histogram(values[:, 0], values[:, 1]), width="stretch", key="runs-errors")
    error = np.abs(values[:, 0] / values[:, 1] - 1)
    middle = 100 * float(np.median(error))
    st.caption(f"{len(values)} subnets, predicted first and measured then: median error {middle:.1f}%.")


def compare_profiles(model: str, paths: list[Path]) -> None:
    """Show the model's profiles beside each other: runtimes, threads, machines."""
    rows = []
    for path in paths:
        try:
            profile = opened(str(path), path.stat().st_mtime_ns)
        except (NasError, OSError):
            rows.append({"profile": path.name, "runtime": "cannot be read"})
            continue
        machine = profile["machine"]
        rows.append(
            {
                "profile": path.name,
                "runtime": profile["runtime"],
                "threads": profile["workload"].get("threads"),
                "batch": profile["workload"].get("batch_size"),
                "machine": machine.get("gpu") or machine.get("processor"),
                "smallest": ms(profile["median_ms"][0]),
                "largest": ms(profile["median_ms"][1]),
                "error": f"{profile['error'].get('median_pct', float('nan')):.1f}%",
            }
        )
    st.dataframe(rows, hide_index=True, width="stretch")


st.title("Latency")
models = [model.name for model in named_models()]
if not models:
    empty("No model", "No trained supernet is installed.")
    st.stop()
with told():
    model = state.choose("Model", models, "model")
    job = jobs.find(state.get("job", ""))
    if job is not None and job.kind in ("drift", "profile"):
        follow(job)
    mine = [path for path in latency.cached_profiles() if path.name.startswith(f"{model}-")]
    if not mine:
        empty("No device profile yet", "A search makes one; or measure this machine now, about a minute.")
        if st.button("Profile this machine", type="primary", icon=":material/speed:", key="first-profile"):
            job = jobs.start("profile", f"Profile {model}", ["profile", "--model", model, "--json"])
            state.put(job=job.id)
            st.rerun()
    else:
        name = state.choose("Profile", [path.name for path in mine], "profile")
        path = next(path for path in mine if path.name == name)
        show_profile(path, model)
        show_drift(model, opened(str(path), path.stat().st_mtime_ns))
        if len(mine) > 1:
            st.subheader("Profiles side by side")
            compare_profiles(model, mine)
        st.caption("A profile of another device joins by `nas profile --import FILE`.")
    show_runs(model)
    st.subheader("What the parts cost")
    names, macs = part_costs(model)
    st.altair_chart(
        charts.bars([plain(name).replace("\\", "") for name in names], macs, "MACs of the largest network"),
        width="stretch",
    )
    show_command(["profile", "--model", model])
