"""Top-1 accuracy of static modules and of subnets, whose BatchNorm is recalibrated first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.data.dataset import Data, Split
from nas.data.pictures import centred
from nas.data.sources import ImageTable
from nas.elastic import Supernet, calibrate, channels_last
from nas.errors import UsageError
from nas.models import Model, Preprocessing, parts
from nas.progress import Steps
from nas.space import Subnet

BATCH = 500


def pictures(data: Data, split: Split, how: Preprocessing, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images of a split without augmentation, and labels.

    Args:
        data: Where they are from. Small ones are taken whole at their own size (`Data.in_memory`), and fitted later.
        split: Which of them.
        how: What becomes of large ones.
        limit: How many at most: small ones spread evenly over the split, of large ones as many of each class as can be.

    Returns:
        uint8 (n, 3, height, width) and int64 (n,).
    """
    if not data.in_memory:
        return centred(chosen(data, split, limit), how.size, how.shorter_side, how.interpolation)
    count, part = data.count(split), data.images(split)
    rows = np.linspace(0, count - 1, min(limit or count, count)).astype(np.int64)
    return part.images[rows], part.labels[rows]


def chosen(data: Data, split: Split, limit: int | None = None) -> ImageTable:
    """Return up to `limit` large images of a split: as many of each class as can be."""
    table = data.table(split)
    return table if limit is None or limit >= len(table) else table.take(_of_each_class(table.labels, limit))


def _of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the places of `count` images: the first of each class, the second of each, and so on; then in order."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], labels[order])
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts
    return np.sort(np.argsort(rank, kind="stable")[:count])


def require_classes(data: Data, classes: Sequence[str]) -> None:
    """Raise `UsageError` unless `data` has as many classes as the model tells apart."""
    if len(data.classes) != len(classes):
        raise UsageError(
            f"{data.name} has {len(data.classes)} classes, but the model tells {len(classes)} apart; give the kind of "
            "images that it was trained on"
        )


class Normalizer(Protocol):
    """Turns uint8 images (n, 3, h, w) into the network's float input."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


def inputs(
    images: Tensor,
    supernet: Supernet,
    subnet: Subnet,
    normalizer: Normalizer,
    batch_size: int = BATCH,
    least: int = 16,
) -> Iterator[Tensor]:
    """Yield batches of uint8 images as `subnet` takes them: normalised, resized, channels_last."""
    for chunk in parts(images, batch_size, least):
        yield supernet.family.prepare(normalizer(chunk), subnet).contiguous(memory_format=torch.channels_last)


def calibrated(
    supernet: Supernet, subnet: Subnet, images: Tensor | None, normalizer: Normalizer, batch_size: int = 256
) -> nn.Module:
    """Extract `subnet` and recalibrate its BatchNorm on uint8 `images` (None: keep the sliced statistics)."""
    module = channels_last(supernet.extract(subnet))
    if images is not None:
        calibrate(module, inputs(images, supernet, subnet, normalizer, batch_size, least=64))
    return module


@torch.inference_mode()
def evaluate_subnet(
    supernet: Supernet,
    subnet: Subnet,
    images: Tensor,
    labels: Tensor,
    normalizer: Normalizer,
    calibration: Tensor | None,
    batch_size: int = BATCH,
) -> float:
    """Return the top-1 of `subnet` in percent on uint8 `images`, recalibrated on uint8 `calibration`."""
    module = calibrated(supernet, subnet, calibration, normalizer)
    fold_batch_norm(module)
    return _top1(module, inputs(images, supernet, subnet, normalizer, batch_size), labels)


@torch.inference_mode()
def _top1(module: nn.Module, batches: Iterable[Tensor], labels: Tensor) -> float:
    right = done = 0
    for batch in batches:
        right += int((module(batch).argmax(1) == labels[done : done + len(batch)]).sum())
        done += len(batch)
    return 100 * right / len(labels)


def compare_calibrations(
    model: Model,
    subnets: Sequence[Subnet],
    images: Tensor,
    labels: Tensor,
    real: Tensor,
    progress: Steps | None = None,
) -> list[dict[str, float]]:
    """Return for each subnet its top-1 in percent on uint8 `images` with statistics from three sources.

    "sliced" from the supernet, "distilled" as the model makes them from its own images, "real" from uint8 `real`.
    """
    rows = []
    for subnet in subnets:
        modules = {
            "sliced": calibrated(model.supernet, subnet, None, model.normalize),
            "distilled": model.extract(subnet),
            "real": model.extract(subnet, real),
        }
        row = {}
        for name, module in modules.items():
            fold_batch_norm(module)
            row[name] = _top1(module, inputs(images, model.supernet, subnet, model.normalize), labels)
        rows.append(row)
        if progress:
            progress(len(rows), len(subnets))
    return rows


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every BatchNorm that directly follows a convolution in a container into it, in place."""
    for parent in module.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        last: str | None = None
        for name, child in list(parent.named_children()):
            before = getattr(parent, last) if last is not None else None
            if isinstance(child, nn.BatchNorm2d) and isinstance(before, nn.Conv2d) and last is not None:
                setattr(parent, last, fuse_conv_bn_eval(before, child))
                setattr(parent, name, nn.Identity())
            last = name
