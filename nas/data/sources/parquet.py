"""Parquet files as the `datasets` library writes them: `image` {bytes, path} and an integer label, or a caption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.data.sources.table import DataSource, ImageTable, check_classes, decode
from nas.errors import NasError, UsageError

_WORDS = {"train": ("train",), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
_IMAGES = ("image", "img", "jpg", "png")
_LABELS = ("label", "labels", "fine_label", "target", "class")
_CAPTIONS = ("text", "caption", "prompt")


def parquet_files(root: Path) -> list[Path]:
    """Return the parquet files directly in `root` or in `root/data`, where hubs put them."""
    return sorted([*root.glob("*.parquet"), *(root / "data").glob("*.parquet")])


def parquet(
    files: list[Path],
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> DataSource:
    """Open parquet files; the split is the first word of a file's name (`train-00000-of-00002.parquet`)."""
    splits = _splits(files)
    columns = {"image": image_column, "label": label_column}
    names: tuple[str, ...] | None = classes
    tables: dict[str, ImageTable] = {}
    for split in ("train", "val", "test"):
        if split not in splits:
            continue
        tables[split], found = _table(splits[split], columns)
        if names is None:
            names = found or tuple(
                str(label) for label in range(int(tables[split].labels.max(initial=-1)) + 1)
            )
        check_classes(tables[split].labels, names, str(splits[split][0]), every=split == "train")
    assert names is not None
    return DataSource(_name(files), names, tables["train"], tables.get("val"), tables.get("test"))


def has_captions(files: list[Path]) -> bool:
    """Whether the first file has a column of text with the name of a caption's."""
    import pyarrow as pa

    schema = _schema(files[0])
    texts = [name for name in _CAPTIONS if name in schema.names]
    return any(
        pa.types.is_string(schema.field(name).type) or pa.types.is_large_string(schema.field(name).type)
        for name in texts
    )


def captioned_parquet(
    files: list[Path], *, image_column: str | None = None, caption_column: str | None = None
) -> DataSource:
    """Open parquet files with a caption for each image; the classes are the captions, each once.

    Splits are as for `parquet`. Raises `UsageError` for a column that is not there or holds no text, `NasError` for a
    broken file and a row without a caption.
    """
    found: dict[str, tuple[ImageTable, list[str]]] = {}
    for split, own in _splits(files).items():
        if split in _WORDS:
            found[split] = _captioned_table(own, {"image": image_column, "caption": caption_column})
    captions = tuple(dict.fromkeys(text for _, texts in found.values() for text in texts))
    place = {text: index for index, text in enumerate(captions)}
    tables = {
        split: ImageTable(np.asarray([place[text] for text in texts], dtype=np.int64), table.open)
        for split, (table, texts) in found.items()
    }
    return DataSource(_name(files), captions, tables["train"], tables.get("val"), tables.get("test"))


def _captioned_table(files: list[Path], columns: dict[str, str | None]) -> tuple[ImageTable, list[str]]:
    images: list[Any] = []
    texts: list[list[str]] = []
    for file in files:
        table, image, caption = _columns(file, columns, ("image", _IMAGES), ("caption", _CAPTIONS))
        values = table.column(caption).to_pylist()
        wrong = next((row for row, text in enumerate(values) if not isinstance(text, str)), None)
        if wrong is not None and values[wrong] is not None:
            raise UsageError(
                f"{file}: column {caption!r} holds {table.column(caption).type}, expected text; name another with "
                "--caption-column"
            )
        if wrong is not None:
            raise NasError(f"{file} row {wrong} has no caption in column {caption!r}; drop such rows")
        images.append(table.column(image))
        texts.append(values)
    joined = [text for part in texts for text in part]
    return ImageTable(np.zeros(len(joined), dtype=np.int64), _opener(files, images)), joined


def _splits(files: list[Path]) -> dict[str, list[Path]]:
    """Return the files of each split; raises `NasError` without one to train on."""
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(_split_of(file, single=len(files) == 1), []).append(file)
    if "train" not in splits:
        raise NasError(
            f"{files[0].parent} has parquet files but none of them is called train*.parquet; rename one "
            "or give a single file"
        )
    return splits


def _name(files: list[Path]) -> str:
    """Return what to call the data: the file where there is one, else the folder, but not a hub's `data` in it."""
    folder = files[0].resolve().parent
    return files[0].stem if len(files) == 1 else folder.parent.name if folder.name == "data" else folder.name


def _split_of(file: Path, single: bool) -> str:
    word = file.stem.lower().replace("_", "-").replace(".", "-").split("-")[0]
    for split, words in _WORDS.items():
        if word in words:
            return "train" if single else split
    return "train" if single else file.stem


def _table(files: list[Path], columns: dict[str, str | None]) -> tuple[ImageTable, tuple[str, ...] | None]:
    """Read files of one split; returns the table and the class names their metadata carry."""
    images: list[Any] = []
    labels: list[np.ndarray] = []
    names: tuple[str, ...] | None = None
    for file in files:
        part, part_labels, part_names = _read(file, columns)
        images.append(part)
        labels.append(part_labels)
        names = names or part_names
    return ImageTable(np.concatenate(labels), _opener(files, images)), names


def _opener(files: list[Path], images: list[Any]) -> Callable[[int], Image.Image]:
    """Return what decodes the image of a row, counted over all files."""
    starts = np.cumsum([0, *(len(part) for part in images)])

    def open_one(index: int):
        at = int(np.searchsorted(starts, index, side="right")) - 1
        row = index - int(starts[at])
        where = f"{files[at]} row {row}"
        value = images[at][row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise NasError(f"{where} holds no image bytes; write the data set with its images embedded")
        return decode(data, where)

    return open_one


def _read(file: Path, columns: dict[str, str | None]) -> tuple[Any, np.ndarray, tuple[str, ...] | None]:
    import pyarrow as pa

    table, image, label = _columns(file, columns, ("image", _IMAGES), ("label", _LABELS))
    values = table.column(label)
    if values.null_count:
        row = next(i for i, value in enumerate(values) if not value.is_valid)
        raise NasError(f"{file} row {row} has no label in column {label!r}; drop such rows")
    if not pa.types.is_integer(values.type):
        raise UsageError(
            f"{file}: column {label!r} holds {values.type}, expected whole numbers from 0; name another"
        )
    labels = values.to_numpy().astype(np.int64)
    return table.column(image), labels, _class_names(table.schema.metadata, label)


def _columns(
    file: Path, columns: dict[str, str | None], *kinds: tuple[str, tuple[str, ...]]
) -> tuple[Any, str, str]:
    """Read two columns, each the named one or the first of the known; returns the table and their names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    present = _schema(file).names
    first, second = (_column(file, present, columns[kind], kind, known) for kind, known in kinds)
    try:
        return pq.read_table(file, columns=[first, second]), first, second
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error


def _schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> NasError:
    reason = str(error).splitlines()[0]
    return NasError(f"{file} is no readable parquet file ({reason}); copy or download it again")


def _column(file: Path, present: list[str], wanted: str | None, kind: str, known: tuple[str, ...]) -> str:
    if wanted is not None:
        if wanted not in present:
            raise UsageError(f"{file} has no column {wanted!r}; its columns are {', '.join(present)}")
        return wanted
    for name in known:
        if name in present:
            return name
    raise UsageError(
        f"{file} has no {kind} column ({', '.join(known)}); its columns are {', '.join(present)}: "
        f"name one with --{kind}-column"
    )


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"]) or None
    except (KeyError, TypeError, ValueError):
        return None
