"""Where labelled images come from: one file a kind of source, all giving the same `Source`."""

from __future__ import annotations

from nas.train.sources._find import find_source
from nas.train.sources._parquet import captioned_parquet, has_captions, parquet_files
from nas.train.sources._table import Source, Table, decode

__all__ = [
    "Source",
    "Table",
    "captioned_parquet",
    "decode",
    "find_source",
    "has_captions",
    "parquet_files",
]
