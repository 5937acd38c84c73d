"""Where labelled images come from: one file a kind of source, all giving the same `Source`."""

from __future__ import annotations

from nas.train._sources._find import find_source
from nas.train._sources._table import Source, Table

__all__ = ["Source", "Table", "find_source"]
