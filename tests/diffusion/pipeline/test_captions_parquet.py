"""Parquet files with captions, as the `datasets` library lays them out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from diffusion.pipeline.inputs.captions import (
    caption_files,
    open_captioned,
    open_captioned_parquet,
    open_described,
)
from nas.data import Data
from nas.errors import NasError, UsageError
from tests.diffusion.pipeline.test_captions import write_folder
from tests.diffusion.small import CLASSES, write_pictures


def picture(shade: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": f"{shade}.png"}


def write(path: Path, shades: range, column: str = "text", **others: list[Any]) -> Path:
    """Shade i has caption i % 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    captions = [["a red bus", "a dog"][shade % 2] for shade in shades]
    pq.write_table(
        pa.table({"image": [picture(shade) for shade in shades], column: captions, **others}), path
    )
    return path


def captioned_data(data: Path, **given: Any) -> tuple[Data, bool]:
    found, more = open_described(str(data), **given)
    return found, more["described"]


@pytest.mark.parametrize("column", ["text", "caption"])
def test_every_picture_keeps_its_caption(tmp_path: Path, column: str) -> None:
    for part, shades in enumerate((range(20), range(20, 30))):
        write(tmp_path / "hub" / "data" / f"train-{part:05d}-of-00002.parquet", shades, column)
    write(tmp_path / "hub" / "data" / "test-00000-of-00001.parquet", range(30, 35), column)
    data, described = captioned_data(tmp_path / "hub")
    assert described
    assert data.name == "hub"
    assert data.classes == ("a red bus", "a dog")
    assert (data.count("train") + data.count("val"), data.count("test")) == (30, 5)
    for split in ("train", "val", "test"):
        images = data.images(split)
        assert [int(image[0, 0, 0]) % 2 for image in images.images] == images.labels.tolist()


def test_a_single_file_may_name_its_column(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.parquet", range(10), "story", label=[0] * 10)
    data, described = captioned_data(file, caption_column="story")
    assert described
    assert data.classes == ("a red bus", "a dog")
    # Without captions of a known name, the labels are classes.
    data, described = captioned_data(file)
    assert not described
    data, described = captioned_data(
        write(tmp_path / "both.parquet", range(10), label=[0] * 10), label_column="label"
    )
    assert not described


def test_class_names_still_make_captions(tmp_path: Path) -> None:
    data, described = captioned_data(write_pictures(tmp_path / "shades", count=4))
    assert not described
    assert sorted(data.classes) == sorted(CLASSES)


def test_a_folder_may_call_its_captions_captions(tmp_path: Path) -> None:
    rows = [{"file_name": f"{i}.png", "caption": "a tree"} for i in range(4)]
    assert open_captioned(write_folder(tmp_path / "p", rows)).classes == ("a tree",)


def test_wrong_columns_and_rows_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", range(6))
    with pytest.raises(UsageError, match="has no column 'story'; its columns are image, text"):
        open_captioned_parquet([file], column="story")
    numbers = write(tmp_path / "b.parquet", range(6), number=[1, 2, 3, 4, 5, 6])
    with pytest.raises(UsageError, match="column 'number' holds int64, expected text"):
        open_captioned_parquet([numbers], column="number")
    table = pa.table({"image": [picture(0)] * 4, "text": ["a", None, "b", "c"]})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(NasError, match="row 1 has no caption in column 'text'"):
        open_captioned_parquet([tmp_path / "c.parquet"])
    (tmp_path / "d.parquet").write_bytes(b"no parquet")
    with pytest.raises(NasError, match="no readable parquet file"):
        caption_files(str(tmp_path / "d.parquet"), False)
    with pytest.raises(UsageError, match="--caption-column is 'text', but"):
        captioned_data(write_pictures(tmp_path / "shades", count=2), caption_column="text")
