"""Captions of images: made of class names by templates, or read from a folder's `metadata.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.data import Data, open_data
from nas.data.sources import DataSource, ImageTable, captioned_parquet, decode, has_captions, parquet_files
from nas.errors import NasError, UsageError

TEMPLATES = (
    "a photo of {}",
    "{}",
    "a picture of {}",
    "an image of {}",
    "a small photo of {}",
    "a photo of {} outdoors",
    "a close photo of {}",
    "{} in a photo",
)
"""The first is the one that prompts are recommended to have; `{}` is the class with its article."""
METADATA = "metadata.jsonl"


def with_article(name: str) -> str:
    """Return a class's name for a sentence: "an airplane", "a ship"; underscores and hyphens become spaces."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"


def class_captions(name: str) -> tuple[str, ...]:
    """Return the captions that images of a class are trained with."""
    return tuple(template.format(with_article(name)) for template in TEMPLATES)


def class_prompt(name: str) -> str:
    """Return the prompt that asks for a class: "a photo of a ship"."""
    return TEMPLATES[0].format(with_article(name))


def has_metadata(spec: str) -> bool:
    """Whether `spec` is a folder of images with captions."""
    return (Path(spec).expanduser() / METADATA).is_file()


def caption_files(spec: str, chosen: bool) -> list[Path]:
    """Return the parquet files that `spec` names, if they bring captions or a column of them was `chosen`."""

    path = Path(spec).expanduser()
    files = [path] if path.is_file() and path.suffix == ".parquet" else parquet_files(path)
    return files if files and (chosen or has_captions(files)) else []


def open_described(
    spec: str, caption_column: str | None = None, **given: Any
) -> tuple[Data, dict[str, bool]]:
    """Open images with captions of their own, or whose classes become captions.

    Args:
        spec: What `nas.data.open_data` takes, or a folder with metadata.jsonl, or parquet files with captions.
        caption_column: Where the captions are; None for "text" or "caption".
        **given: Other arguments of `open_data`.

    Returns:
        The data, and `described`: whether their classes are captions already.

    Raises:
        UsageError: A caption's column of data that have none.
    """
    if has_metadata(spec):
        return open_captioned(spec, caption_column), {"described": True}
    if given.get("label_column") is None and (files := caption_files(spec, caption_column is not None)):
        return open_captioned_parquet(files, given.get("image_column"), caption_column), {"described": True}
    if caption_column is not None:
        raise UsageError(
            f"--caption-column is {caption_column!r}, but {spec} is no folder with metadata.jsonl and no parquet files "
            "without --label-column; leave it out"
        )
    return open_data(spec, **given), {"described": False}


def open_captioned_parquet(
    files: Sequence[Path], image: str | None = None, column: str | None = None
) -> Data:
    """Open parquet files with images and captions, as `datasets` lays them out.

    The caption's column is "text", "caption" or "prompt" unless it is named. The data's classes are the captions, each
    once. Raises `UsageError` or `NasError` naming the file and the row or column that is wrong.
    """

    return Data(captioned_parquet(list(files), image_column=image, caption_column=column))


def open_captioned(folder: str | Path, column: str | None = None) -> Data:
    """Open a folder of images with `metadata.jsonl`: one object a line, with "file_name" and the caption `column`.

    Without `column` it is "text", or "caption" where the first line has that alone. This is the layout of diffusers and
    of the `imagefolder` of `datasets`. The data's classes are the captions, each once. Raises `UsageError` or
    `NasError` naming the line that is wrong.
    """
    import numpy as np

    root = Path(folder).expanduser()
    rows = _rows(root / METADATA, column)
    captions = list(dict.fromkeys(text for _, text in rows))
    place = {text: index for index, text in enumerate(captions)}
    labels = np.asarray([place[text] for _, text in rows], dtype=np.int64)

    def open_one(index: int):
        path = root / rows[index][0]
        try:
            with open(path, "rb") as file:
                return decode(file, str(path))
        except OSError as error:
            raise NasError(f"{path} cannot be read ({error.strerror or error})") from error

    return Data(DataSource(str(root), tuple(captions), ImageTable(labels, open_one)))


def _rows(path: Path, column: str | None) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NasError(f"{path} cannot be read ({error})") from error
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise NasError(f"{path} line {number} is no JSON object ({error}); mend that line") from error
        if column is None:
            known = value if isinstance(value, dict) else {}
            column = "caption" if "caption" in known and "text" not in known else "text"
        missing = [
            key
            for key in ("file_name", column)
            if not isinstance(value, dict) or not isinstance(value.get(key), str)
        ]
        if missing:
            raise UsageError(f"{path} line {number} has no text {missing[0]!r}; each line needs one")
        name = value["file_name"]
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UsageError(f"{path} line {number} names {name!r}, which is outside its folder; move it in")
        rows.append((name, value[column]))
    if len(rows) < 3:
        raise NasError(f"{path} has {len(rows)} lines, at least 3 are needed; give more images")
    return rows


def caption_groups(data: Data, described: bool) -> list[tuple[str, ...]]:
    """Return the captions of each of the data's classes: themselves if they are `described`, else by templates."""
    return [(name,) if described else class_captions(name) for name in data.classes]


def plain_name(spec: str) -> str:
    """Return what data are called in what is saved: the last part of a path, never a path."""
    return Path(spec).name or "data"


def all_captions(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Return every caption once."""
    return list(dict.fromkeys(text for group in groups for text in group))
