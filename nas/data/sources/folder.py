"""A folder of images, one sub-folder a class, as torchvision's ImageFolder reads it, or without classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.data.sources.table import DataSource, ImageTable, decode
from nas.errors import NasError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
_WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}


def image_folder(root: Path) -> DataSource:
    """Open `root/<class>/*.png` or `root/{train,val,test}/<class>/*.png`, without <class> as images without labels."""
    parts = {split: _first(root, words) for split, words in _WORDS.items()}
    train_root = parts["train"] or root
    classes = tuple(
        sorted(item.name for item in train_root.iterdir() if item.is_dir() and item.name[0] != ".")
    )
    if not classes and not _images(train_root):
        raise NasError(
            f"{train_root} holds no class folders, images or parquet files; expected {train_root}/<class>/<image>.png"
        )
    others = {
        split: _table(folder, classes)
        for split, folder in parts.items()
        if split != "train" and folder is not None and parts["train"] is not None
    }
    return DataSource(
        root.resolve().name, classes, _table(train_root, classes), others.get("val"), others.get("test")
    )


def _first(root: Path, words: tuple[str, ...]) -> Path | None:
    return next((root / word for word in words if (root / word).is_dir()), None)


def _images(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in SUFFIXES)


def _table(root: Path, classes: tuple[str, ...]) -> ImageTable:
    paths: list[Path] = [] if classes else _images(root)
    labels: list[int] = [0] * len(paths)
    if not classes and not paths:
        raise NasError(f"{root} holds no images ({', '.join(SUFFIXES)}); add some or remove it")
    for label, name in enumerate(classes):
        folder = root / name
        if not folder.is_dir():
            raise NasError(f"{root} has no folder for class {name!r}; every split needs the same classes")
        found = _images(folder, "**/*")
        if not found:
            raise NasError(
                f"class folder {folder} holds no images ({', '.join(SUFFIXES)}); add some or remove it"
            )
        paths += found
        labels += [label] * len(found)

    def open_one(index: int):
        try:
            with open(paths[index], "rb") as file:
                return decode(file, str(paths[index]))
        except OSError as error:
            raise NasError(f"{paths[index]} cannot be read ({error.strerror or error})") from error

    return ImageTable(np.asarray(labels, dtype=np.int64), open_one)
