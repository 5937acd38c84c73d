"""Pictures that are given and made: files of one, and moving ones of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nas.errors import UsageError
from nas.files import replacing
from nas.pictures import flat, grid, write_png


def write_frames(path: str | Path, frames: Sequence[np.ndarray], *, frames_per_second: float = 10) -> None:
    """Write pictures (height, width, 3) as their name ends: .gif and .apng move for ever, .png is a strip."""
    path = Path(path)
    if path.suffix.lower() == ".png":
        return write_png(path, grid(frames, len(frames)))
    first, *rest = [Image.fromarray(frame) for frame in frames]
    form = "GIF" if path.suffix.lower() == ".gif" else "PNG"
    with replacing(path) as beside:
        first.save(
            beside, format=form, save_all=True, append_images=rest, duration=1000 / frames_per_second, loop=0
        )
    return None


def open_picture(path: str | Path) -> Image.Image:
    """Return a picture in RGB, turned as its camera says.

    Of an animation the first frame is taken, what is transparent becomes white. Raises `UsageError` for a file that is
    no picture, is broken or does not exist.
    """
    try:
        with Image.open(path) as opened:
            return flat(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; give the path of a picture") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder; give the path of one picture in it") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = "its format is not known" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UsageError(f"{path} is no readable picture ({reason}); give a PNG, JPEG or the like") from error


def read_picture(path: str | Path, size: int) -> Tensor:
    """Return a picture as (1, 3, size, size) in [0, 1]: the middle square, resized.

    Raises `UsageError` for what `open_picture` cannot open, and for less than 2 × 2 pixels.
    """
    picture = open_picture(path)
    if min(picture.size) < 2:
        raise UsageError(f"{path} has {picture.size[0]} × {picture.size[1]} pixels; give a larger picture")
    fitted = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None].float() / 255
