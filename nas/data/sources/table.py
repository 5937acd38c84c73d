"""The one shape every data source has: labels now, pictures on demand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image

from nas.errors import NasError


@dataclass(frozen=True)
class ImageTable:
    """Labelled images of one split.

    Attributes:
        labels: int64 array (n,), indices into the source's classes.
        open: index -> RGB `PIL.Image`; raises `NasError` naming the file (and row) of a broken image.
    """

    labels: np.ndarray
    open: Callable[[int], Image.Image]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> ImageTable:
        """Return the rows `indices` in that order."""
        return ImageTable(self.labels[indices], lambda i: self.open(int(indices[i])))


@dataclass(frozen=True)
class DataSource:
    """The classes and the splits a source has of its own; a missing split is held out of `train` later.

    `name` is what models and reports call the data: a name, never a path. Without classes every label is 0.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageTable
    val: ImageTable | None = None
    test: ImageTable | None = None


def decode(file: IO[bytes] | bytes, where: str) -> Image.Image:
    """Decode one image file to RGB; `where` names it in the error."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NasError(f"{where} is no readable image ({error}); repair it or leave it out") from error


def check_classes(labels: np.ndarray, classes: tuple[str, ...], where: str, *, every: bool = True) -> None:
    """Raise `NasError` unless every label has a class and, where `every` class needs one, an image."""
    if len(labels) == 0:
        raise NasError(f"{where} holds no images; give a data set with at least one image of each class")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        row = int(wrong[0])
        raise NasError(
            f"{where} row {row} has label {labels[row]}, expected 0 to {len(classes) - 1} ({len(classes)} classes)"
        )
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if every and len(empty):
        raise NasError(
            f"{where} has no image of class {classes[empty[0]]!r}; add some or remove the class from its list"
        )
