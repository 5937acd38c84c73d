"""Pictures that a visitor sends: really decoded, of limited size, turned as their camera says."""

from __future__ import annotations

import io
import secrets
import time
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from nas.errors import UsageError
from nas.files import replacing
from nas.jobs import runs_root
from nas.pictures import flat

MOST_BYTES = 8_000_000
MOST_PIXELS = 40_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_KEPT_S = 24 * 3600


def read_upload(name: str, data: bytes) -> Image.Image:
    """Return the picture in RGB, of an animation the first frame.

    Raises `UsageError` for what is no picture, is broken, or is too large in bytes or, unpacked, in pixels.
    """
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{name!r} has {len(data) / 1e6:.1f} MB, but at most 8 are taken; send a smaller picture"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
                width, height = opened.size
                if width * height > MOST_PIXELS:
                    raise UsageError(
                        f"{name!r} has {width} × {height} pixels, more than are taken; send a smaller one"
                    )
                if min(width, height) < 2:
                    raise UsageError(f"{name!r} has {width} × {height} pixels; send a larger picture")
                opened.load()
                return flat(ImageOps.exif_transpose(opened))
    except UsageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UsageError(f"{name!r} is no picture that is known here; send a PNG, JPEG or WebP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UsageError(f"{name!r} unpacks to far too many pixels; send a smaller picture") from error
    except Exception as error:  # decoders raise nearly anything for broken files
        raise UsageError(f"{name!r} is a broken picture ({type(error).__name__}); send another") from error


def keep_upload(picture: Image.Image, size: int) -> Path:
    """Write the middle square of a picture where jobs can read it, and remove what is a day old; return its path."""
    folder = runs_root() / ".uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file() and time.time() - old.stat().st_mtime > _KEPT_S:
            old.unlink(missing_ok=True)
    path = folder / f"{secrets.token_hex(8)}.png"
    with replacing(path) as beside:
        ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS).save(beside, format="PNG")
    return path
