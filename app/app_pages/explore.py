"""Explore: drag the latency slider, click a point, pin some, restrict choices, and see why."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app import state
from app.parts import charts
from app.parts.command import show_command
from app.parts.empty import empty
from app.parts.runs_data import open_candidates, open_importances, stamp_of
from app.parts.text import ms, plain, quality_words, told
from nas.jobs import read_card, searches
from nas.latency.units import format_bytes, format_count
from nas.search.results.candidates import Candidates

_MOST_PINS = 4
_PARALLEL = 60


def restrictions(found: Candidates) -> dict[str, list[Any]]:
    """Ask which choices are left; return those of the dimensions that are restricted."""
    kept: dict[str, list[Any]] = {}
    with st.expander("Restrict choices, and see the front move", icon=":material/filter_alt:"):
        names = st.multiselect(
            "Dimensions", [*found.dimensions], key="restricted", placeholder="for example a kernel"
        )
        columns = st.columns(min(4, max(1, len(names))))
        for place, name in enumerate(names):
            choices = [*found.dimensions[name]]
            with columns[place % len(columns)]:
                left = st.multiselect(name, choices, default=choices, key=f"kept-{name}")
            kept[name] = left
    return {name: left for name, left in kept.items() if len(left) < len(found.dimensions[name])}


def picked(key: str, count: int) -> int | None:
    """Return the row that was clicked in the chart, if any."""
    event = st.session_state.get(key)
    try:
        rows = event["selection"][charts.PICK] if event else []
        row = int(rows[0]["id"]) if rows else None
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return row if row is not None and 0 <= row < count else None


def pins_of(run: str, count: int) -> list[int]:
    """Return the pinned rows, as the address has them."""
    texts = state.get("pins", "").split(",")
    rows = [int(text) for text in texts if text.isdecimal()]
    return [row for row in dict.fromkeys(rows) if row < count][:_MOST_PINS]


def set_pins(rows: list[int]) -> None:
    """Write the pinned rows into the address."""
    state.put(pins=",".join(map(str, rows)) or None)


def facts(found: Candidates, row: int) -> dict[str, str]:
    """Return the figures of a candidate as words."""
    is_measured = bool(np.isfinite(found.measured_ms[row]))
    return {
        f"{found.quality['label']}, {found.source[row]}": quality_words(
            float(found.value[row]), found.quality
        ),
        f"latency, {'measured' if is_measured else 'predicted'}": ms(float(found.latency_ms[row])),
        "MACs": format_count(float(found.macs[row])),
        "parameters": format_count(float(found.params[row])),
        "weights": format_bytes(float(found.size_bytes[row])),
    }


@st.fragment
def explorer(run: str, found: Candidates, kept_mask: np.ndarray, limit_of_run: float | None) -> None:
    """The slider, the scatter and the subnet: what is drawn anew while someone drags."""
    inside = found.latency_ms[kept_mask]
    low, high = float(inside.min()), float(inside.max())
    start = min(max(state.get("limit", limit_of_run or (low * high) ** 0.5, float), low), high)
    key = f"pareto-{run}"
    if high > low:
        top = float(f"{high * 1.01:.4g}")
        bottom = float(f"{low * 1.001:.4g}")  # the smallest is within it, whatever was rounded
        limit = st.slider(
            "Latency budget (ms)", bottom, top, min(max(start, bottom), top), (top - bottom) / 400, format="%.3f",
            key=f"limit-{run}", help="The best subnet within it is shown at once",
        )  # fmt: skip
    else:
        limit = high
    state.put(limit=f"{limit:.4g}")
    clicked = picked(key, len(found))
    if clicked is not None and st.session_state.get("last-limit", limit) != limit:
        clicked = None  # who drags the slider wants its answer
    if st.session_state.get("last-limit") != limit:
        st.session_state["last-limit"] = limit
    chosen = clicked if clicked is not None else found.best_within(limit, kept_mask)
    left, right = st.columns([3, 2], gap="large")
    with left:
        chart = charts.pareto_chart(found, limit, kept_mask, chosen)
        st.altair_chart(chart, width="stretch", key=key, on_select="rerun", selection_mode=charts.PICK)
        st.caption(
            "Click near a point to look at it. Squares and the diamond were measured on this machine; "
            "others are predicted."
        )
    with right:
        if chosen is None:
            st.info(
                "No candidate is within this budget: drag the slider to the right, or lift a restriction."
            )
            return
        words = "the best within the budget" if clicked is None else "the point that was clicked"
        st.markdown(f"##### Trial {int(found.trial[chosen])}: {words}")
        show_facts(found, chosen)
        pins = pins_of(run, len(found))
        with st.container(horizontal=True):
            if st.button(
                "Pin", key="pin", icon=":material/keep:", disabled=chosen in pins or len(pins) >= _MOST_PINS
            ):
                set_pins([*pins, chosen])
                st.rerun()
            st.page_link(
                "app_pages/export.py",
                label="Export",
                icon=":material/download:",
                query_params={"run": run, "trial": str(int(found.trial[chosen]))},
            )
    dark = st.context.theme.type == "dark"
    chart, general = charts.diagram(found.dimensions, found.choices(chosen), dark=dark)
    if general:
        st.markdown(
            plain(
                " · ".join(
                    f"{name} {charts._choice_words(choice) if choice is not None else 'left out'}"
                    for name, choice in general.items()
                )
            )
        )
    if chart is not None:
        st.altair_chart(chart, width="stretch", key=f"diagram-{run}")
        st.caption(
            "Each column a block; outlined the full supernet, filled what this subnet keeps of the choices."
        )


def show_facts(found: Candidates, row: int) -> None:
    """Show the figures of a candidate."""
    items = [*facts(found, row).items()]
    for pair in (items[:2], items[2:4], items[4:]):
        for column, (name, value) in zip(st.columns(2), pair, strict=False):
            column.metric(name, value)


def differences(found: Candidates, rows: list[int]) -> None:
    """Show pinned candidates beside each other: figures, and the choices that differ."""
    st.subheader("Pinned")
    names = [f"trial {int(found.trial[row])}" for row in rows]
    table: dict[str, list[str]] = {}
    for row in rows:
        for label, value in facts(found, row).items():
            table.setdefault(label.partition(",")[0], []).append(value)
    chosen = [found.choices(row) for row in rows]
    for name in found.dimensions:
        values = [charts._choice_words(one[name]) if name in one else "left out" for one in chosen]
        if len(set(values)) > 1:
            table[name] = values
    records = [{"": label, **dict(zip(names, values, strict=True))} for label, values in table.items()]
    st.dataframe(records, hide_index=True, width="stretch")
    with st.container(horizontal=True):
        for name, row in zip(names, rows, strict=True):
            if st.button(f"Unpin {name}", key=f"unpin-{row}", icon=":material/keep_off:"):
                set_pins([other for other in rows if other != row])
                st.rerun()


def reasons(run: str, found: Candidates, kept: dict[str, list[Any]], mask: np.ndarray) -> None:
    """Show why: importances, what the front chooses, parallel coordinates."""
    first, second, third = st.tabs(["What matters", "Along the front", "Parallel coordinates"])
    shares = open_importances(*stamp_of(run), tuple((name, tuple(left)) for name, left in kept.items()))
    top = sorted(shares, key=lambda name: -shares[name])
    rows = found.front(mask)
    with first:
        if shares:
            st.altair_chart(charts.importance_chart(shares), width="stretch")
            st.caption(
                "How much each dimension decides of the quality among the evaluated subnets (Optuna's PED-ANOVA)."
            )
        else:
            st.info("Too few candidates to say what matters.")
    with second:
        if len(rows) and top:
            name = st.selectbox(
                "Dimension", [*top, *(n for n in found.dimensions if n not in top)], key="mix"
            )
            st.altair_chart(charts.front_mix(found, rows, name), width="stretch")
    with third:
        names = top[:8] or [*found.dimensions][:8]
        best = np.flatnonzero(mask)[np.argsort(-found.score[mask], kind="stable")[:_PARALLEL]]
        if len(best):
            st.altair_chart(charts.parallel(found, best, names, None), width="stretch")
            st.caption(f"The {len(best)} best candidates over the most important dimensions.")


st.title("Explore")
cards = searches()
if not cards:
    empty(
        "Nothing to explore yet",
        "A search leaves its candidates here; one on a shipped model takes seconds.",
        "search",
        "Search",
    )
    st.stop()
with told():
    run = state.choose("Run", [card.name for card in cards], "run")
    card = read_card(run)
    if card is not None and card.problem:
        st.error(plain(card.problem))
        st.stop()
    found = open_candidates(run)
    if not len(found):
        empty("No candidate yet", "The search has just begun.", "search", "Watch it")
        st.stop()
    kept = restrictions(found)
    mask = found.allowed(kept)
    if not mask.any():
        st.info("No candidate has only these choices: allow more of them.")
        st.stop()
    explorer(run, found, mask, card.budget.get("latency_ms") if card else None)
    pinned = pins_of(run, len(found))
    if pinned:
        differences(found, pinned)
    reasons(run, found, kept, mask)
    show_command(["show", f"runs/{run}"])
