"""Applying a generator to pictures of any size, and showing what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gan_compress.pictures import open_picture
from gan_compress.pix2pix.family import GanCompression
from gan_compress.pix2pix.pairs import to_bytes
from nas.errors import UsageError
from nas.models import Model
from nas.space import Subnet

LEAST, MOST = 16, 2048
"""How many pixels the sides of a picture may have."""
_MULTIPLE = 4


def translation_family(model: Model) -> GanCompression:
    """Return the family of an image-to-image generator of grey or colour; another model raises `UsageError`."""
    family = model.family
    if not isinstance(family, GanCompression):
        raise UsageError(
            f"{model.name} is a model for {model.task.name} and translates no images; name one with --model "
            "('nas list' shows all)"
        )
    if not {family.inputs, family.outputs} <= {1, 3}:
        raise UsageError(
            f"{model.name} takes {family.inputs} and gives {family.outputs} colours, but pictures have one or three; "
            "name another with --model"
        )
    return family


def is_configuration(text: str) -> bool:
    """Whether `text` is a channel configuration such as "8_8_16_8_8_8_8_8", and no file or folder."""
    words = text.split("_")
    return len(words) > 1 and all(word.isdecimal() for word in words) and not Path(text).exists()


def find_subnet(model: Model, text: str) -> Subnet:
    """Return the subnet of a published channel configuration; raises `SpaceError` where the model has none such."""
    return translation_family(model).subnet(text)


def read_whole(path: str | Path, size: int | None = None) -> Tensor:
    """Return a picture as (1, 3, height, width), -1 to 1; with `size` the longer side gets so many pixels.

    Raises `UsageError` for a file that is no picture, and for one that is too small or too large.
    """
    picture = open_picture(path)
    if size is not None:
        factor = size / max(picture.size)
        wanted = tuple(max(1, round(side * factor)) for side in picture.size)
        picture = picture.resize((wanted[0], wanted[1]), Image.Resampling.LANCZOS)
    width, height = picture.size
    if not LEAST <= min(width, height) <= max(width, height) <= MOST:
        raise UsageError(
            f"{path} has {width} × {height} pixels here, but {LEAST} to {MOST} a side are expected; set another --size"
        )
    pixels = torch.from_numpy(np.array(picture))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


@torch.inference_mode()
def translate(network: nn.Module, family: GanCompression, given: Tensor) -> tuple[Tensor, float]:
    """Return what `network` makes of pictures (batch, 3, h, w), and the milliseconds that it took.

    Sides that are no multiple of 4 are continued as in a mirror, and the rest is cut off again.
    """
    height, width = given.shape[-2:]
    x = given.mean(1, keepdim=True) if family.inputs == 1 else given
    x = F.pad(x, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE), mode="reflect")
    start = time.perf_counter()
    made = network(x)
    took = 1000 * (time.perf_counter() - start)
    return made[..., :height, :width].expand(-1, 3, -1, -1), took


def pixels(picture: Tensor) -> np.ndarray:
    """Return one picture (1, 3, h, w), -1 to 1, as uint8 (h, w, 3)."""
    return to_bytes(picture)[0].permute(1, 2, 0).cpu().numpy()


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], *, gap: int = 2, zoom: int = 1) -> np.ndarray:
    """Return pictures, uint8 (h, w, 3), as one on white: a row each; those of a row have one size."""
    rows = [[picture.repeat(zoom, 0).repeat(zoom, 1) for picture in row] for row in rows]
    width = max(sum(picture.shape[1] + gap for picture in row) for row in rows) - gap
    height = sum(row[0].shape[0] + gap for row in rows) - gap
    page = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for row in rows:
        left = 0
        for picture in row:
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + gap
        top += row[0].shape[0] + gap
    return page
