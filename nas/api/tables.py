"""Figures as readable words and tables: of networks, of searches, of exported files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from nas.export._manifest import file_state
from nas.latency.units import format_bytes, format_count, format_ms
from nas.search.budget import format_cost

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from nas.api.figures import Figures
    from nas.export import Latency, Manifest, ParityRow
    from nas.search import Choice, Outcome


@dataclass(frozen=True)
class Table:
    """Words in columns: printed on a terminal, shown by a notebook, or read row by row.

    Attributes:
        columns: The titles; the first column is aligned left, the others right.
        rows: The cells.
        left: Columns that are aligned left too.
        marked: Rows that stand out, such as the answer of a search.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[str] = ()
    marked: frozenset[int] = frozenset()

    def to_dicts(self) -> list[dict[str, str]]:
        """Return the rows by the titles of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_rich(self) -> RichTable:
        """Return the table in the one look of all commands."""
        from rich import box
        from rich.markup import escape as escape_markup
        from rich.table import Table as RichTable

        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(self.columns):
            justify = "right" if number and column not in self.left else "left"
            table.add_column(column, justify=justify, overflow="fold")
        for number, row in enumerate(self.rows):
            table.add_row(*map(escape_markup, row), style="bold green" if number in self.marked else None)
        return table

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=140, color_system=None)
        with console.capture() as captured:
            console.print(self.to_rich())
        return captured.get()

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], kind: str, style: str = "") -> str:
            inside = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
            return f"<tr{style}>{inside}</tr>"

        bold = ' style="font-weight: bold"'
        body = [line(row, "td", bold if n in self.marked else "") for n, row in enumerate(self.rows)]
        return f"<table><thead>{line(self.columns, 'th')}</thead><tbody>{''.join(body)}</tbody></table>"


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()) -> RichTable:
    """Return a table in the one look of all commands; columns after the first are aligned right, but for `left`."""
    return Table(columns, rows, left).to_rich()


def outcome_table(outcome: Outcome) -> Table:
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


def _cells(choice: Choice, outcome: Outcome) -> list[str]:
    figures = (choice.measured_ms, choice.raw_ms, choice.p90_ms)
    measured = ["–" if ms is None else format_ms(ms) for ms in figures]
    counts = [format_count(choice.macs), format_count(choice.params), format_bytes(choice.size_bytes)]
    known = {"predicted": choice.predicted, "measured": choice.measured}
    values = [known[kind] for kind in outcome.known_qualities]
    qualities = ["–" if value is None else outcome.quality.text(value).removesuffix("%") for value in values]
    return [*qualities, format_ms(choice.predicted_ms), *measured, *counts]


def figure_rows(figures: Figures) -> list[tuple[str, str]]:
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


def parity_table(rows: Sequence[ParityRow]) -> RichTable:
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
    return plain_table(columns, cells)


def file_rows(folder: str, manifest: Manifest) -> Table:
    """Return an artifact's files with their sizes, and whether each is still what was exported."""
    rows = [
        (name, format_bytes(entry["bytes"]), file_state(folder, manifest, name))
        for name, entry in manifest.files.items()
    ]
    return Table(("file", "size", "state"), rows)
