"""How pictures become the input of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_EDGE = 64  # up to this edge batches of images are as large as was asked for


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become the input of a network.

    A picture is resized until its shorter side is `size / crop`, its centre is cut out, and its numbers are normalised.

    Attributes:
        mean, std: Of each channel of images in [0, 1]; the network takes (x - mean) / std.
        size: Height and width in pixels; () where nobody says.
        interpolation: "bilinear" or "bicubic", antialiased.
        crop: The share of the resized picture's shorter side that the central crop keeps.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, ...]
    interpolation: str = "bilinear"
    crop: float = 1.0

    @property
    def shorter_side(self) -> int:
        """What a picture's shorter side is resized to, in pixels."""
        return int(max(self.size) / self.crop)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON knows them."""
        return {
            "mean": [*self.mean], "std": [*self.std], "size": [*self.size],
            "interpolation": self.interpolation, "crop": self.crop,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_dict` gave; what it lacks has its default."""
        told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**told)


def parts(images: Tensor, most: int, least: int = 16) -> tuple[Tensor, ...]:
    """Split images (n, channels, height, width) into batches whose activations take about as much memory at every size.

    Args:
        images: All of them.
        most: Images in a batch up to 64 pixels; of larger ones there are fewer, as many in one batch as in another.
        least: Images in a batch of any size, where there are so many.
    """
    height, width = images.shape[-2:]
    if height * width <= _EDGE**2:
        return images.split(most)
    size = max(least, most * _EDGE**2 // (height * width))
    return images.tensor_split(-(-len(images) // size))
