"""Anycost GAN generators as an elastic family: preview, final, projection, editing; it comes after `nas`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from gan_compress.pictures import read_picture, write_frames

__all__ = [
    "read_picture",
    "write_frames",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "read_picture": "gan_compress.pictures",
        "write_frames": "gan_compress.pictures",
    },
)
