"""Data small enough for training runs of a second, shared by the tests of training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nas.data.sources import ImageTable, find_source


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 84 training, 12 validation and 12 test digits in parquet files, ten classes in each."""
    folder = tmp_path_factory.mktemp("few-digits")
    table = find_source("digits").train
    # Digit after digit in turn, so that a short split has every class.
    turns = [np.flatnonzero(table.labels == digit) for digit in range(10)]
    order = np.stack([turn[:12] for turn in turns], axis=1).reshape(-1)
    for split, start, stop in (("train", 0, 84), ("val", 84, 96), ("test", 96, 108)):
        write_parquet(folder / f"{split}.parquet", table.take(order[start:stop]), [str(i) for i in range(10)])
    return folder


def write_parquet(path: Path, table: ImageTable, classes: list[str]) -> None:
    """Write labelled images as the `datasets` library does, class names in the metadata."""
    images = []
    for index in range(len(table)):
        buffer = io.BytesIO()
        table.open(index).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    features = {"label": {"names": classes, "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    rows = pa.table({"image": images, "label": table.labels}).replace_schema_metadata(metadata)
    pq.write_table(rows, path)
