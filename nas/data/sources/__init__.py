"""Where labelled images come from: one file a kind of source, all giving the same `DataSource`."""

from __future__ import annotations

from nas.data.sources.find import find_source
from nas.data.sources.parquet import captioned_parquet, has_captions, parquet_files
from nas.data.sources.table import DataSource, ImageTable, decode

__all__ = [
    "DataSource",
    "ImageTable",
    "captioned_parquet",
    "decode",
    "find_source",
    "has_captions",
    "parquet_files",
]
