"""The figures of a network as readable words and tables, shared by `nas show`, `nas compare` and `nas export`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.latency.units import format_bytes, format_count, format_ms

if TYPE_CHECKING:
    from rich.table import Table

    from nas.cli._figures import Figures
    from nas.export import Latency, Manifest, ParityRow


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()) -> Table:
    """Return a table in the one look of all commands; columns after the first are aligned right, but for `left`."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        justify = "right" if number and column not in left else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


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


def parity_table(rows: Sequence[ParityRow]) -> Table:
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


def file_table(folder: str, manifest: Manifest) -> Table:
    """Return an artifact's files with their sizes, and whether each is still what was exported."""
    from nas.export import file_state

    rows = [
        (name, format_bytes(entry["bytes"]), file_state(folder, manifest, name))
        for name, entry in manifest.files.items()
    ]
    return plain_table(("file", "size", "state"), rows)
