"""The 1,797 handwritten digits that scikit-learn carries: real images on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from nas.data.sources.table import DataSource, ImageTable


def digits() -> DataSource:
    """Return the digits: 8x8 grey images of ten classes (Alpaydin & Kaynak 1998, through scikit-learn)."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    pixels = np.rint(bunch["images"] * (255 / 16)).astype(np.uint8)
    table = ImageTable(
        labels=bunch["target"].astype(np.int64),
        open=lambda i: Image.fromarray(pixels[i]).convert("RGB"),
    )
    return DataSource("digits", tuple(str(digit) for digit in range(10)), table)
