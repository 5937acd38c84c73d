"""Dead leaves: random overlapping shapes, which have the statistics of natural images without being any.

Source: Lee, Mumford and Huang 2001, "Occlusion models for natural images"; Baradad et al. 2021, "Learning to see by
looking at noise", train networks on them.
"""

from __future__ import annotations

import numpy as np

_SHAPES = (6, 40)
_SMALLEST, _LARGEST = 2.0, 16.0  # radii for an image of 32 pixels


def dead_leaves(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return `count` images, uint8 (count, 3, height, width), that depend on `seed` alone."""
    rng = np.random.default_rng(seed)
    images = np.stack([_image(rng, *size) for _ in range(count)])
    return images.round().clip(0, 255).astype(np.uint8)


def _image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] * (32 / max(height, width))
    slope = rng.normal(0, 1.2, (3, 2)) + rng.normal(0, 1.5, (1, 2))
    image = rng.uniform(0, 255, (3, 1, 1)) + slope[:, 0, None, None] * (columns - 16)
    image = image + slope[:, 1, None, None] * (rows - 16)
    for _ in range(rng.integers(*_SHAPES)):
        # Radii fall off as 1/r, so that the picture looks alike at every scale.
        radius = min(_SMALLEST / rng.uniform(0.08, 1.0), _LARGEST)
        along, shape = _ellipse(rng, rows, columns, radius)
        colour = np.clip(rng.normal(120, 65) + rng.normal(0, 28, 3), 0, 255)
        shade = rng.normal(0, 12) * along / radius
        image = image * (1 - shape) + shape * (colour[:, None, None] + shade)
    return image + rng.normal(0, 3, image.shape)


def _ellipse(
    rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinate along the main axis of a random ellipse, and its soft mask."""
    y, x = rng.uniform(0, 32, 2)
    angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    distance = np.sqrt(along**2 + (across / ratio) ** 2)
    return along, 1 / (1 + np.exp(np.clip((distance - radius) * 2, -50, 50)))
