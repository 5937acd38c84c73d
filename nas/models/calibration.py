"""Synthetic images for statistics that a subnet recomputes, and how far they are from real ones where that is known."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.files import replacing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Calibration:
    """Images, uint8 (n, channels, height, width), and BatchNorm statistics of the largest network by buffer name.

    `real` are the statistics that real images cause, `synthetic` those that `images` cause; both or neither.
    """

    images: torch.Tensor
    real: Mapping[str, torch.Tensor] = field(default_factory=dict)
    synthetic: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write an npz file, atomically."""
        import numpy as np

        arrays: dict[str, Any] = {"images": self.images.cpu().numpy()}
        for kind in ("real", "synthetic"):
            arrays |= {f"{kind}/{name}": value.cpu().numpy() for name, value in getattr(self, kind).items()}
        with replacing(path) as beside:
            np.savez_compressed(beside, **arrays)

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read an npz file; a damaged one raises `NasError`."""
        import numpy as np
        import torch

        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
            images = arrays.pop("images")
            kinds: dict[str, dict[str, torch.Tensor]] = {"real": {}, "synthetic": {}}
            for name, value in arrays.items():
                kind, _, buffer = name.partition("/")
                kinds[kind][buffer] = value
            if kinds["real"].keys() != kinds["synthetic"].keys():
                raise ValueError("its real and synthetic statistics are of different layers")
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise NasError(f"{path} is damaged ({error}); fetch the model again") from error
        return cls(images, **kinds)
