"""Pictures as files: one, or many as one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas._table import Result, Table
from nas.files import new_folder, replacing


def grid(
    pictures: np.ndarray | Sequence[np.ndarray], columns: int | None = None, *, gap: int = 2, zoom: int = 1
) -> np.ndarray:
    """Return pictures (n, h, w, 3) as one, row by row on white; by default about as many rows as columns."""
    pixels = np.asarray(pictures)
    count, height, width = pixels.shape[:3]
    across = min(count, columns or int(np.ceil(np.sqrt(count))))
    rows = -(-count // across)
    pixels = pixels.repeat(zoom, 1).repeat(zoom, 2)
    height, width = height * zoom, width * zoom
    contact_sheet = np.full((rows * (height + gap) - gap, across * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = index // across * (height + gap), index % across * (width + gap)
        contact_sheet[top : top + height, left : left + width] = picture
    return contact_sheet


def write_png(path: str | Path, picture: np.ndarray) -> None:
    """Write one picture, uint8 (height, width, 3), as PNG, as a whole or not at all."""
    with replacing(path) as beside:
        Image.fromarray(picture).save(beside, format="PNG")


def write_pictures(
    path: str | Path,
    pictures: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    zoom: int = 1,
) -> None:
    """Write pictures (n, h, w, 3) as one sheet, or with `names` into a new folder, one PNG each."""
    if names is None:
        write_png(path, grid(pictures, columns, zoom=zoom))
        return
    with new_folder(path) as folder:
        for name, picture in zip(names, pictures, strict=True):
            write_png(folder / f"{name}.png", picture.repeat(zoom, 0).repeat(zoom, 1))


@dataclass(frozen=True)
class MadePictures(Result):
    """Pictures that were made.

    Attributes:
        pixels: uint8 (n, height, width, 3).
        output: The file or folder that they were written to; None where nothing was.
        facts: How they were made, as JSON.
        words: What they are, for readers; `notes` are sentences beside it.
    """

    pixels: np.ndarray
    output: Path | None
    facts: Mapping[str, Any]
    words: str
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, without the pixels."""
        return {"output": self.output and str(self.output), **self.facts}

    def table(self) -> Table:
        """Return how they were made."""
        return Table(("", "value"), [(name, str(value)) for name, value in self.facts.items()])

    def tables(self) -> Sequence[Table]:
        return ()

    @property
    def remarks(self) -> Sequence[str]:
        """What they are, and where."""
        return [self.words if self.output is None else f"wrote {self.output}: {self.words}", *self.notes]


def flat(image: Image.Image) -> Image.Image:
    """Return RGB: 16 bit numbers and floats scaled to 8, what is transparent on white."""
    if image.mode[0] in "IF":
        numbers = np.array(image, dtype=np.float64)
        most = 1.0 if image.mode == "F" and numbers.max() <= 1 else 255.0 if numbers.max() < 256 else 65535.0
        return Image.fromarray((numbers / most * 255).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
