"""Figures as readable words and tables: of networks, of searches, of exported files."""

from __future__ import annotations

from collections.abc import Sequence

from nas import api, export, search
from nas._table import Table
from nas.export import Latency, Manifest, file_state
from nas.latency.units import format_bytes, format_count, format_ms
from nas.search.trials.budget import format_cost


def outcome_table(outcome: search.Outcome) -> Table:
    """Return the ladder of a search and its answer, predicted beside measured."""
    name = " ".join(filter(None, (outcome.quality.name, outcome.quality.unit)))
    kinds = outcome.known_qualities
    latency = "latency" if outcome.statistic == "median" else f"latency {outcome.statistic}"
    columns = ["", "within", *(f"{name if kind == kinds[0] else ''}\n{kind}" for kind in kinds)]
    columns += [f"{latency}\npredicted", "\nmeasured", "\nraw", "\np90", "MACs", "params", "size"]
    rows = [(choice, _within(dict(choice.within)), "") for choice in outcome.ladder]
    if outcome.answer is not None:
        mark = "answer, restless" if outcome.answer.is_restless else "answer"
        rows.append((outcome.answer, _within(outcome.budget.to_dict()), mark))
    rows.sort(key=lambda row: row[0].predicted_ms)
    cells = [(mark, within, *_cells(choice, outcome)) for choice, within, mark in rows]
    marked = frozenset(number for number, (_, _, mark) in enumerate(rows) if mark)
    return Table(columns, cells, ("within",), marked)


def _within(limits: dict[str, float]) -> str:
    return ", ".join(format_cost(name, value) for name, value in limits.items())


def _cells(choice: search.Choice, outcome: search.Outcome) -> list[str]:
    figures = (choice.measured_ms, choice.raw_ms, choice.p90_ms)
    measured = ["–" if ms is None else format_ms(ms) for ms in figures]
    counts = [format_count(choice.macs), format_count(choice.params), format_bytes(choice.size_bytes)]
    known = {"predicted": choice.predicted, "measured": choice.measured}
    values = [known[kind] for kind in outcome.known_qualities]
    qualities = ["–" if value is None else outcome.quality.text(value).removesuffix("%") for value in values]
    return [*qualities, format_ms(choice.predicted_ms), *measured, *counts]


def figure_rows(figures: api.Figures) -> list[tuple[str, str]]:
    """Return (name, value) lines: counts, and every known quality and latency with its origin."""
    rows = [(found.name, f"{found.text} ({found.kind}, {found.data})") for found in figures.quality]
    rows += [("latency", f"{latency_words(latency)}") for latency in figures.latency]
    return [
        *rows,
        ("MACs", format_count(figures.macs)),
        ("parameters", format_count(figures.params)),
        ("size of weights", format_bytes(figures.size_bytes)),
    ]


def latency_words(latency: Latency) -> str:
    """Return a latency with its origin in one line."""
    pace = latency.pace or 1.0
    clock = f", {format_ms(latency.raw_ms)} by the clock" if latency.raw_ms and pace >= 1.05 else ""
    return f"{format_ms(latency.median_ms)}{clock} ({latency_origin(latency)})"


def latency_origin(latency: Latency) -> str:
    """Return how a latency was found: measured or predicted, runtime, workload, machine."""
    threads = "1 thread" if latency.threads == 1 else f"{latency.threads} threads"
    kind = f"{latency.kind}, restless" if latency.is_restless else latency.kind
    workload = f"batch {latency.batch_size}, {threads}, {latency.precision}"
    return f"{kind}, {latency.runtime}, {workload}, {latency.machine}"


def parity_table(rows: Sequence[export.ParityRow]) -> Table:
    """Return how far each file of an artifact is from the supernet."""
    cells = [
        (
            row.format,
            ", ".join(map(str, row.batch_sizes)),
            f"{row.delta:.1e}",
            f"{row.tolerance:.0e}",
            "ok" if row.ok else "OVER",
        )
        for row in rows
    ]
    images = rows[0].images if rows else "nothing"
    columns = ("against the supernet", f"batches of {images}", "max |Δ| ÷ max |reference|", "tolerance", "")
    return Table(columns, cells)


def file_rows(folder: str, manifest: Manifest) -> Table:
    """Return an artifact's files with their sizes, and whether each is still what was exported."""
    rows = [
        (name, format_bytes(entry["bytes"]), file_state(folder, manifest, name))
        for name, entry in manifest.files.items()
    ]
    return Table(("file", "size", "state"), rows)
