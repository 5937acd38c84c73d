"""Image-to-image generators, compressed: the generator of pix2pix and CycleGAN (GAN Compression, Li et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from gan_compress.pix2pix.apply import (
        contact_sheet,
        find_subnet,
        pixels,
        read_whole,
        translate,
        translation_family,
    )
    from gan_compress.pix2pix.pairs import SAME, get_pairs, psnr
    from gan_compress.pix2pix.task import model_pairs

__all__ = [
    "SAME",
    "find_subnet",
    "get_pairs",
    "model_pairs",
    "pixels",
    "psnr",
    "read_whole",
    "contact_sheet",
    "translate",
    "translation_family",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "SAME": "gan_compress.pix2pix.pairs",
        "find_subnet": "gan_compress.pix2pix.apply",
        "get_pairs": "gan_compress.pix2pix.pairs",
        "model_pairs": "gan_compress.pix2pix.task",
        "pixels": "gan_compress.pix2pix.apply",
        "psnr": "gan_compress.pix2pix.pairs",
        "read_whole": "gan_compress.pix2pix.apply",
        "contact_sheet": "gan_compress.pix2pix.apply",
        "translate": "gan_compress.pix2pix.apply",
        "translation_family": "gan_compress.pix2pix.apply",
    },
)
