"""Uploads: only pictures, of limited size."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.uploads import MOST_BYTES, keep_upload, read_upload
from nas.errors import UsageError


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    memory = io.BytesIO()
    image.save(memory, format=form, **options)
    return memory.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG file whose header promises very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


PICTURE = Image.fromarray(np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_pictures_become_rgb(form: str) -> None:
    found = read_upload("a", encoded(PICTURE, form))
    assert found.mode == "RGB" and found.size == (20, 12)


def test_sixteen_bits_transparency_and_turns() -> None:
    deep = Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16))
    assert np.asarray(read_upload("a", encoded(deep))).min() == 255
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert np.asarray(read_upload("a", encoded(clear))).min() == 255
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_upload("a", encoded(PICTURE, "JPEG", exif=exif)).size == (12, 20)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no picture that is known"),
        (b"just a text", "no picture that is known"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that is known"),
        (encoded(PICTURE)[:80], "broken picture"),
        (bomb(20_000, 20_000), "too many pixels|more than are taken"),
        (bomb(8_000, 6_000), "more than are taken"),
        (b"\0" * (MOST_BYTES + 1), "at most 8"),
        (encoded(Image.new("RGB", (1, 9))), "send a larger picture"),
    ],
)
def test_anything_else_costs_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_upload("x.png", data)


def test_what_is_kept_is_a_square_png(runs: Path) -> None:
    path = keep_upload(PICTURE, 64)
    assert path.parent == runs / ".uploads"
    with Image.open(path) as kept:
        assert kept.size == (64, 64)
