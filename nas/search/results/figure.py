"""The Pareto picture: what was considered, what is best at every latency, what was measured, and the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.files import replacing
from nas.search.engine.pareto import front
from nas.search.results.candidates import Candidates
from nas.search.results.outcome import Outcome
from nas.search.trials.budget import format_cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.search.trials.study import Evaluations

_GREY, _BLUE, _ORANGE, _RED, _GREEN = "#b8bcc4", "#2563c9", "#e8871e", "#c62f3b", "#14804a"


def draw(found: Evaluations, outcome: Outcome, title: str, folder: Path, source: str) -> None:
    """Write pareto.svg and pareto.png (1,600 × 1,000 pixels) into `folder`.

    `source` says of the candidates' quality, and `outcome` of the others', whether it is predicted or measured.
    """
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "anyfit"  # the same run draws the same bytes
    figure = _figure(found.costs[:, 0], outcome.quality.sign * found.score, outcome, title, source)
    for suffix in ("svg", "png"):
        with replacing(folder / f"pareto.{suffix}") as path:
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            figure.savefig(path, format=suffix, metadata=metadata)


def pareto_figure(found: Candidates, outcome: Outcome, title: str) -> Figure:
    """Return the Pareto picture of a run's candidates as a matplotlib figure."""
    source = "predicted" if "predicted" in set(found.source.tolist()) else "measured"
    return _figure(found.predicted_ms, found.value, outcome, title, source)


def _figure(latency: np.ndarray, quality: np.ndarray, outcome: Outcome, title: str, source: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=200)
    axes = figure.add_axes((0.085, 0.11, 0.895, 0.82))
    _candidates(axes, latency, quality, outcome.quality.sign, source)
    _choices(axes, outcome)
    _frame(axes, latency, outcome, title)
    return figure


def _candidates(axes: Any, latency: np.ndarray, quality: np.ndarray, sign: int, source: str) -> None:
    told = "predicted" if source == "predicted" else "quality measured, latency predicted"
    axes.scatter(
        latency, quality, s=9, color=_GREY, alpha=0.65, linewidths=0, label=f"candidates ({told})", zorder=1
    )
    best = front(np.column_stack([latency, -sign * quality]))
    axes.step(
        latency[best],
        quality[best],
        where="post",
        color=_BLUE,
        lw=1.6,
        label="their Pareto front",
        zorder=2,
    )


def _choices(axes: Any, outcome: Outcome) -> None:
    limit = outcome.budget.latency_ms
    if limit is not None and not outcome.everything_fits:
        axes.axvline(limit, color=_RED, lw=1.3, ls=(0, (5, 3)), zorder=3)
        label = f" budget {format_cost('latency_ms', limit)}"
        axes.text(limit, 0.99, label, color=_RED, transform=axes.get_xaxis_transform(), va="top", fontsize=9)
    rungs = [rung for rung in outcome.ladder if rung.measured_ms is not None]
    for rung in rungs:
        axes.plot(
            [rung.predicted_ms, rung.measured_ms],
            [rung.quality if rung.predicted is None else rung.predicted, rung.quality],
            color=_ORANGE,
            lw=1,
            alpha=0.7,
            zorder=4,
        )
    if rungs:
        axes.scatter(
            [r.measured_ms for r in rungs],
            [r.quality for r in rungs],
            s=42,
            marker="D",
            color=_ORANGE,
            edgecolor="white",
            lw=0.8,
            label="best at other budgets (measured)",
            zorder=5,
        )
    answer = outcome.answer
    if answer is not None and answer.measured_ms is not None:
        value = outcome.quality.text(answer.quality)
        axes.scatter(
            [answer.measured_ms],
            [answer.quality],
            s=210,
            marker="*",
            color=_GREEN,
            edgecolor="white",
            lw=0.9,
            label=f"the answer: {value} at {format_cost('latency_ms', answer.measured_ms)} (measured)",
            zorder=6,
        )


def _frame(axes: Any, latency: np.ndarray, outcome: Outcome, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if len(latency) and latency.min() > 0 and latency.max() > 4 * latency.min():
        axes.set_xscale("log")
        low, high = np.log10(latency.min()), np.log10(latency.max())
        axes.set_xticks(_round_ticks(float(10**low), float(10**high)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("latency (ms)")
    quality = outcome.quality
    words = [quality.unit, *([] if quality.higher_is_better else ["lower is better"])]
    axes.set_ylabel(f"{quality.label} ({', '.join(filter(None, words))})")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(color="#e6e8ec", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="lower right" if quality.higher_is_better else "upper right",
        frameon=True,
        framealpha=0.92,
        edgecolor="none",
        fontsize=9,
    )


def _round_ticks(low: float, high: float) -> list[float]:
    """Return round numbers (1, 1.5, 2, 3, 5, 7 and powers of ten) between two latencies."""
    ticks = [m * 10.0**p for p in range(-6, 7) for m in (1, 1.5, 2, 3, 5, 7)]
    return [tick for tick in ticks if low * 0.95 <= tick <= high * 1.05]
