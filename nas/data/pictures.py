"""Pictures too large for memory, decoded by worker processes."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.data.sources import ImageTable, decode
from nas.seeds import seed_globals

_KEPT_BYTES = 1 << 30


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures as uint8 tensors; an item's augmentation is a function of (seed, step, place in the batch)."""

    def __init__(self, table: ImageTable, transform: Any, seed: int | None) -> None:
        self.table = table
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        index, draw = key
        if self.seed is not None:
            seed_globals(self.seed, draw)
        picture = self.transform(self.table.open(index))
        pixels = np.array(picture, dtype=np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), int(self.table.labels[index])


class Photographs:
    """Pictures of which subnets take several sizes: decoded anew for each, the last few sizes are kept.

    Args:
        table: Of them.
    """

    def __init__(self, table: ImageTable) -> None:
        self._table = table
        self._decoded: dict[Any, Tensor] = {}

    def __len__(self) -> int:
        return len(self._table)

    @property
    def labels(self) -> Tensor:
        """The labels, int64 (n,)."""
        return torch.from_numpy(np.asarray(self._table.labels))

    def at(self, size: tuple[int, ...], shorter_side: int, interpolation: str) -> Tensor:
        """Return all as `centred` decodes them, uint8 (n, 3, *size)."""
        key = (size, shorter_side, interpolation)
        if key not in self._decoded:
            found = centred(self._table, *key)[0]
            while (
                self._decoded and sum(map(Tensor.numel, self._decoded.values())) + found.numel() > _KEPT_BYTES
            ):
                del self._decoded[next(iter(self._decoded))]
            self._decoded[key] = found
        return self._decoded[key]

    def __getstate__(self) -> dict[str, Any]:
        # What opens a picture may be bound to this process; the pictures themselves, without loss, are not.
        files = []
        for index in range(len(self._table)):
            file = io.BytesIO()
            self._table.open(index).save(file, "PNG", compress_level=1)
            files.append(file.getvalue())
        return {"labels": self._table.labels, "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state["files"]
        self.__init__(ImageTable(state["labels"], lambda index: decode(files[index], f"picture {index}")))


def centred(
    table: ImageTable, size: tuple[int, ...], shorter_side: int, interpolation: str
) -> tuple[Tensor, Tensor]:
    """Decode pictures for evaluation: resized to a shorter side, cut at the centre; uint8 (n, 3, *size) and labels."""
    from torchvision import transforms

    resize = transforms.Resize(shorter_side, transforms.InterpolationMode(interpolation))
    pictures = Pictures(table, transforms.Compose([resize, transforms.CenterCrop(size)]), None)
    chosen = [(index, 0) for index in range(len(table))]
    loader = DataLoader(
        pictures,
        sampler=chosen,  # pyright: ignore[reportArgumentType] (keys are pairs, not ints)
        batch_size=64,
        num_workers=min(8, os.cpu_count() or 1) if len(chosen) > 256 else 0,
    )
    parts = list(loader)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
