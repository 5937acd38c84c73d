"""The charts, as Altair. Colours are Okabe and Ito's, which most people can tell apart; shapes say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from nas.search.results.candidates import Candidates

BLUE, ORANGE, GREEN, RED, GREY, PURPLE, SKY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#9AA5B1", "#CC79A7", "#56B4E9",
)  # fmt: skip
ROLES = ("over the budget", "within the budget", "front", "measured", "answer", "chosen")
_COLOURS = (GREY, SKY, BLUE, ORANGE, RED, GREEN)
_SHAPES = ("cross", "circle", "circle", "square", "diamond", "triangle-up")
_SIZES = (18, 22, 45, 80, 190, 190)
MOST_POINTS = 1500
PICK = "pick"

Layered = alt.LayerChart | alt.FacetChart


def quality_title(quality: Mapping[str, Any]) -> str:
    """Return the axis title of a quality."""
    unit = f" ({quality['unit']})" if quality.get("unit") else ""
    return f"{quality['label']}{unit}"


def roles(found: Candidates, limit_ms: float | None, kept: np.ndarray, chosen: int | None) -> np.ndarray:
    """Return for each candidate which of `ROLES` it plays (its position there), -1 where it is not `kept`."""
    limit = np.inf if limit_ms is None else limit_ms
    role = np.where(found.latency_ms <= limit, 1, 0)
    role[found.front(kept)] = 2
    role[np.isfinite(found.measured_ms)] = 3
    role[found.role == "answer"] = 4
    role = np.where(kept, role, -1)
    if chosen is not None:
        role[chosen] = 5
    return role


def points(found: Candidates, role: np.ndarray) -> pd.DataFrame:
    """Return the points to draw: all that matter, and of the others an even share, at most `MOST_POINTS`."""
    special = np.flatnonzero(role >= 2)
    others = np.flatnonzero((role >= 0) & (role < 2))
    room = max(0, MOST_POINTS - len(special))
    if len(others) > room:
        others = others[np.unique(np.linspace(0, len(others) - 1, room).astype(int))] if room else others[:0]
    rows = np.concatenate([others, special])
    rows = rows[np.argsort(role[rows], kind="stable")]
    return pd.DataFrame(
        {
            "id": rows,
            "latency": found.latency_ms[rows].round(4),
            "value": found.value[rows],
            "role": [ROLES[place] for place in role[rows]],
            "size": [_SIZES[place] for place in role[rows]],
            "known": np.where(np.isfinite(found.measured_ms[rows]), "measured", "predicted"),
            "macs": found.macs[rows],
            "trial": found.trial[rows],
        }
    )


def pareto_chart(
    found: Candidates,
    limit_ms: float | None,
    kept: np.ndarray,
    chosen: int | None = None,
    *,
    height: int = 420,
) -> Layered:
    """Return the scatter of candidates with the front and the limit; a click picks a point by its id."""
    role = roles(found, limit_ms, kept, chosen)
    data, quality = points(found, role), found.quality
    present = [name for name in ROLES if name in set(data["role"])]
    scale = alt.Scale(domain=present, range=[_COLOURS[ROLES.index(name)] for name in present])
    shapes = alt.Scale(domain=present, range=[_SHAPES[ROLES.index(name)] for name in present])
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolOpacity=1)
    x = alt.X(
        "latency:Q",
        title="latency (ms)",
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(grid=True, format="~g"),
    )
    y = alt.Y("value:Q", title=quality_title(quality), scale=alt.Scale(zero=False, padding=8))
    pick = alt.selection_point(name=PICK, fields=["id"], on="click", nearest=True)
    scatter = (
        alt.Chart(data)
        .mark_point(filled=True, opacity=0.85)
        .encode(
            x=x, y=y,
            color=alt.Color("role:N", scale=scale, legend=legend),
            shape=alt.Shape("role:N", scale=shapes, legend=legend),
            size=alt.Size("size:Q", scale=None, legend=None),
            tooltip=[
                alt.Tooltip("value:Q", title=quality_title(quality), format=".4~g"),
                alt.Tooltip("latency:Q", title="latency (ms)", format=".4~g"),
                alt.Tooltip("known:N", title="latency is"),
                alt.Tooltip("macs:Q", title="MACs", format=".3~s"),
                alt.Tooltip("role:N", title="what it is"),
                alt.Tooltip("trial:Q", title="trial"),
            ],
        )
        .add_params(pick)
    )  # fmt: skip
    layers: list[Any] = []
    rows = found.front(kept)
    if len(rows):
        line = pd.DataFrame({"latency": found.latency_ms[rows], "value": found.value[rows]})
        layers.append(
            alt.Chart(line).mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5).encode(x=x, y=y)
        )
    if limit_ms is not None and len(data):
        rule = pd.DataFrame({"latency": [limit_ms], "label": [f"{limit_ms:.3g} ms"]})
        base = alt.Chart(rule).encode(x="latency:Q")
        layers.append(base.mark_rule(color=RED, strokeDash=[6, 4], strokeWidth=1.5))
    description = (
        f"Scatter of {len(found)} evaluated subnets: latency against {quality['label']}, and the Pareto front"
    )
    return alt.layer(scatter, *layers).properties(height=height, description=description)


def diagram(
    dimensions: Mapping[str, Sequence[Any]], choices: Mapping[str, Any], *, dark: bool = False
) -> tuple[Layered | None, dict[str, Any]]:
    """Return a subnet as an architecture diagram, and the choices that belong to no block.

    A column a block, a row a dimension; the outline is the full supernet, the filled part the subnet's share of the
    choices, with the choice written in it. A block that depth leaves out is only an outline.
    """
    rows, general = [], {}
    for name, known in dimensions.items():
        block, _, short = name.rpartition(".")
        if not block:
            general[name] = choices.get(name)
            continue
        chosen = choices.get(name)
        share = 0 if chosen is None else ([*known].index(chosen) + 1) / len(known)
        rows.append(
            {
                "block": _block_words(block), "dimension": short, "share": share,
                "choice": "" if chosen is None else _choice_words(chosen), "full": _choice_words(known[-1]),
                "state": "left out" if chosen is None else "kept",
            }
        )  # fmt: skip
    if not rows:
        return None, general
    data = pd.DataFrame(rows)
    blocks, shorts = [*dict.fromkeys(data["block"])], [*dict.fromkeys(data["dimension"])]
    data["column"] = [blocks.index(block) for block in data["block"]]
    data["row"] = [shorts.index(short) for short in data["dimension"]]
    data["x1"], data["x2"] = data["column"] + 0.06, data["column"] + 0.94
    data["y1"], data["top"] = data["row"] + 0.92, data["row"] + 0.08
    data["y2"] = data["row"] + 0.92 - 0.84 * data["share"]
    labels_x = "[" + ",".join(f"'{block}'" for block in blocks) + "][floor(datum.value)]"
    labels_y = "[" + ",".join(f"'{short}'" for short in shorts) + "][floor(datum.value)]"
    x = alt.X(
        "x1:Q", scale=alt.Scale(domain=[0, len(blocks)], nice=False), title=None,
        axis=alt.Axis(
            values=[n + 0.5 for n in range(len(blocks))], labelExpr=labels_x, labelAngle=-50, labelOverlap=False,
            labelLimit=150, grid=False, ticks=False, domain=False,
        ),
    )  # fmt: skip
    axis_y = alt.Axis(
        values=[n + 0.5 for n in range(len(shorts))],
        labelExpr=labels_y,
        labelOverlap=False,
        grid=False,
        ticks=False,
        domain=False,
    )
    y = {"scale": alt.Scale(domain=[0, len(shorts)], reverse=True, nice=False), "title": None, "axis": axis_y}
    tip = ["block", "dimension", "choice", "full", "state"]
    shades = ["#1d4460", "#2377aa"] if dark else ["#d6eaf7", "#8cc8ee"]
    base = alt.Chart(data)
    outline = base.mark_rect(fill=None, stroke=GREY, strokeWidth=1, cornerRadius=2).encode(
        x=x, x2="x2:Q", y=alt.Y("top:Q", **y), y2="y1:Q", tooltip=tip
    )
    filled = base.mark_rect(cornerRadius=2, opacity=0.75).encode(
        x=x, x2="x2:Q", y=alt.Y("y2:Q", **y), y2="y1:Q", tooltip=tip,
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=shades), legend=None),
    )  # fmt: skip
    written = (
        alt.Chart(data.assign(cx=data["column"] + 0.5, cy=data["row"] + 0.52))
        .mark_text(fontSize=10, color="#ffffff" if dark else "#17212b")
        .encode(x=alt.X("cx:Q"), y=alt.Y("cy:Q", **y), text="choice:N", tooltip=tip)
    )
    chart = alt.layer(outline, filled, written).properties(
        height=36 * len(shorts) + 90,
        description=f"The subnet's {len(blocks)} blocks beside the full supernet's outline",
    )
    return chart, general


def _block_words(block: str) -> str:
    for long, short in (
        ("transformer_blocks.0.", ""), ("down_blocks", "down"), ("up_blocks", "up"), ("mid_block", "mid"),
        ("resnets", "res"), ("attentions", "att"), ("attn1", "self"), ("attn2", "cross"),
        ("stage", "s"), ("block", "b"),
    ):  # fmt: skip
        block = block.replace(long, short)
    return block.replace("'", "")


def _choice_words(choice: Any) -> str:
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    return f"{choice:g}" if isinstance(choice, float) else str(choice)


def front_mix(found: Candidates, rows: np.ndarray, name: str) -> alt.Chart:
    """Return which choices of a dimension the front takes, from its quick to its slow end."""
    choices = found.dimensions[name]
    place = [*found.dimensions].index(name)
    codes = found.codes[rows, place]
    words = ["left out" if code < 0 else _choice_words(choices[code]) for code in codes]
    data = pd.DataFrame({"latency": found.latency_ms[rows], "choice": words})
    order = [word for word in ["left out", *map(_choice_words, choices)] if word in set(words)]
    return (
        alt.Chart(data)
        .mark_tick(thickness=3, size=20)
        .encode(
            x=alt.X(
                "latency:Q", title="latency along the front (ms)", scale=alt.Scale(type="log", padding=8),
                axis=alt.Axis(format="~g"),
            ),
            y=alt.Y("choice:N", sort=order, title=name),
            color=alt.value(BLUE),
            tooltip=["choice", alt.Tooltip("latency:Q", format=".4~g")],
        )
        .properties(height=34 + 26 * len(order), description=f"Choices of {name} along the front")
    )  # fmt: skip


def importance_chart(shares: Mapping[str, float], most: int = 15) -> alt.Chart:
    """Return the most important dimensions as bars."""
    top = sorted(shares.items(), key=lambda item: -item[1])[:most]
    data = pd.DataFrame({"dimension": [name for name, _ in top], "share": [share for _, share in top]})
    return (
        alt.Chart(data)
        .mark_bar(color=BLUE, cornerRadiusEnd=3)
        .encode(
            x=alt.X("share:Q", title="importance", axis=alt.Axis(format="%")),
            y=alt.Y("dimension:N", sort=None, title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False)),
            tooltip=["dimension", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=24 * len(data) + 70, description="Importance of each dimension, by PED-ANOVA")
    )


def parallel(found: Candidates, rows: np.ndarray, names: Sequence[str], highlight: int | None) -> Layered:
    """Return parallel coordinates of candidates over some dimensions, latency and quality, each from low to high."""
    columns: dict[str, np.ndarray] = {}
    for name in names:
        place = [*found.dimensions].index(name)
        columns[name] = found.codes[rows, place] / max(1, len(found.dimensions[name]) - 1)
    for name, values in (("latency", found.latency_ms), (found.quality["label"], found.value)):
        spread = float(np.ptp(values[rows])) or 1.0
        columns[name] = (values[rows] - values[rows].min()) / spread
    frame = pd.DataFrame(columns).assign(id=rows, quality=found.value[rows])
    long = frame.melt(["id", "quality"], var_name="dimension", value_name="position")
    order = [*columns]
    base = alt.Chart(long).encode(
        x=alt.X("dimension:N", sort=order, title=None, axis=alt.Axis(labelAngle=-40, labelLimit=140)),
        y=alt.Y("position:Q", title="smallest choice to largest", axis=alt.Axis(labels=False, ticks=False)),
        detail="id:N",
    )
    lines = base.mark_line(opacity=0.35, strokeWidth=1).encode(
        color=alt.Color("quality:Q", title=found.quality["label"], scale=alt.Scale(scheme="viridis"))
    )
    layers: list[Any] = [lines]
    if highlight is not None and highlight in set(rows.tolist()):
        layers.append(base.transform_filter(f"datum.id == {highlight}").mark_line(color=RED, strokeWidth=3))
    return alt.layer(*layers).properties(
        height=320, description="Parallel coordinates of the best candidates"
    )


def growth(trials: np.ndarray, best: np.ndarray, quality: Mapping[str, Any]) -> alt.Chart:
    """Return the best value so far over the trials."""
    data = pd.DataFrame({"trial": trials, "best": best}).dropna()
    return (
        alt.Chart(data)
        .mark_line(interpolate="step-after", color=GREEN)
        .encode(
            x=alt.X("trial:Q"),
            y=alt.Y("best:Q", title=f"best {quality_title(quality)}", scale=alt.Scale(zero=False)),
        )
        .properties(height=160, description="The best value within the budget over the trials")
    )


def predicted_measured(predicted: np.ndarray, measured: np.ndarray, label: str) -> Layered:
    """Return predicted against measured latency with the diagonal."""
    data = pd.DataFrame({"predicted": predicted, "measured": measured, "error": predicted / measured - 1})
    low, high = (
        float(data[["predicted", "measured"]].min().min()),
        float(data[["predicted", "measured"]].max().max()),
    )
    scale = alt.Scale(type="log", domain=[low * 0.95, high * 1.05], nice=False)
    diagonal = alt.Chart(pd.DataFrame({"measured": [low, high], "predicted": [low, high]})).mark_line(
        color=GREY, strokeDash=[4, 4]
    )
    dots = alt.Chart(data).mark_point(filled=True, size=50, color=BLUE, opacity=0.8)
    layers = [
        layer.encode(
            x=alt.X("measured:Q", title="measured (ms)", scale=scale, axis=alt.Axis(format="~g")),
            y=alt.Y("predicted:Q", title="predicted (ms)", scale=scale, axis=alt.Axis(format="~g")),
        )
        for layer in (diagonal, dots)
    ]
    layers[1] = layers[1].encode(
        tooltip=[alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("measured", "predicted")]
        + [alt.Tooltip("error:Q", format="+.1%")]
    )
    return alt.layer(*layers).properties(
        height=320, description=f"Predicted against measured latency, {label}"
    )


def error_histogram(predicted: np.ndarray, measured: np.ndarray) -> alt.Chart:
    """Return the histogram of relative errors of predictions."""
    data = pd.DataFrame({"error": predicted / measured - 1})
    return (
        alt.Chart(data)
        .mark_bar(color=ORANGE)
        .encode(
            x=alt.X(
                "error:Q",
                bin=alt.Bin(maxbins=20),
                title="error of the prediction",
                axis=alt.Axis(format="+.0%"),
            ),
            y=alt.Y("count():Q", title="subnets"),
        )
        .properties(height=320, description="Histogram of prediction errors")
    )


def bars(names: Sequence[str], values: Sequence[float], title: str, unit: str = "") -> alt.Chart:
    """Return labelled horizontal bars in the given order."""
    data = pd.DataFrame({"name": names, "value": values})
    return (
        alt.Chart(data)
        .mark_bar(color=BLUE, cornerRadiusEnd=3)
        .encode(
            x=alt.X("value:Q", title=f"{title}{f' ({unit})' if unit else ''}", axis=alt.Axis(format="~s")),
            y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False)),
            tooltip=["name", alt.Tooltip("value:Q", format=".4~s")],
        )
        .properties(height=24 * len(data) + 70, description=title)
    )
