"""Results: words in columns, and what a verb returns: what a command prints, and a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable


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


class Result:
    """What a verb returns: figures as JSON and as tables, and what to say beside them.

    Commands print it (`nas.cli.output.emit_result`), notebooks show its tables.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        raise NotImplementedError

    def table(self) -> Table:
        """Return the figures as a table."""
        raise NotImplementedError

    def tables(self) -> Sequence[Table]:
        """Return all tables that a reader is shown, in order."""
        return (self.table(),)

    @property
    def remarks(self) -> Sequence[str]:
        """What to say below the tables, a sentence each."""
        return ()

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables())
