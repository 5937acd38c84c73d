"""The figures of a network as readable words, shared by `nas show`, `nas compare` and `nas export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.latency.units import format_bytes, format_count, format_ms

if TYPE_CHECKING:
    from nas.cli._figures import Figures


def figure_rows(figures: Figures) -> list[tuple[str, str]]:
    """Return (name, value) lines: counts, and every known accuracy and latency with its origin."""
    rows = [
        ("MACs", format_count(figures.macs)),
        ("parameters", format_count(figures.params)),
        ("size", format_bytes(figures.size_bytes)),
    ]
    rows += [(a.name, f"{a.value:.2f}% ({a.kind}, {a.data})") for a in figures.accuracy]
    for latency in figures.latency:
        value = (
            f"{format_ms(latency.median_ms)} ({latency.kind}, {latency.runtime}, {latency.threads} threads)"
        )
        rows.append(("latency", value))
    return rows
