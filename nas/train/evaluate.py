"""Top-1 accuracy of static modules and of subnets, whose BatchNorm is recalibrated first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas._errors import UsageError
from nas.elastic import Family, Supernet, calibrate
from nas.space import Subnet
from nas.train._large import centred
from nas.train.data import Data, Split

BATCH = 500


def pictures(
    data: Data, split: Split, size: tuple[int, int], limit: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return up to `limit` images of a split without augmentation, uint8 (n, 3, h, w), and labels; spread evenly."""
    count = data.count(split)
    chosen = np.linspace(0, count - 1, min(limit or count, count)).astype(np.int64)
    if data.in_memory:
        part = data.images(split)
        return part.images[chosen], part.labels[chosen]
    return centred(data.table(split).take(chosen), size)


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
    images: Tensor, supernet: Supernet, subnet: Subnet, normalizer: Normalizer, batch_size: int = BATCH
) -> Iterator[Tensor]:
    """Yield batches of uint8 images as `subnet` takes them: normalised, resized, channels_last."""
    for chunk in images.split(batch_size):
        yield supernet.family.prepare(normalizer(chunk), subnet).contiguous(memory_format=torch.channels_last)


def normalized(
    images: Tensor, family: Family, subnet: Subnet, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Return all uint8 `images` as `subnet` takes them: in units of `std` from `mean`, resized, channels_last."""
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    parts = [family.prepare((chunk.float() / 255 - shift) / scale, subnet) for chunk in images.split(BATCH)]
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)


def calibrated(
    supernet: Supernet, subnet: Subnet, images: Tensor | None, normalizer: Normalizer, batch_size: int = 256
) -> nn.Module:
    """Extract `subnet` and recalibrate its BatchNorm on uint8 `images` (None: keep the sliced statistics)."""
    module = supernet.extract(subnet).to(memory_format=torch.channels_last)
    if images is not None:
        calibrate(module, inputs(images, supernet, subnet, normalizer, batch_size))
    return module


@torch.inference_mode()
def accuracy(module: nn.Module, images: Tensor, labels: Tensor, batch_size: int = BATCH) -> float:
    """Return the top-1 of `module` in percent; `images` are its float inputs (n, 3, h, w)."""
    right = 0
    for chunk, truth in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        right += int((module(chunk).argmax(1) == truth).sum())
    return 100 * right / len(labels)


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
    right = 0
    batches = inputs(images, supernet, subnet, normalizer, batch_size)
    for chunk, truth in zip(batches, labels.split(batch_size), strict=True):
        right += int((module(chunk).argmax(1) == truth).sum())
    return 100 * right / len(labels)


def compare_calibrations(
    supernet: Supernet,
    subnets: Sequence[Subnet],
    images: Tensor,
    labels: Tensor,
    normalizer: Normalizer,
    calibrations: Mapping[str, Tensor | None],
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Return for each subnet its top-1 in percent with every one of `calibrations` (see `evaluate_subnet`), by name."""
    rows = []
    for subnet in subnets:
        rows.append(
            {
                name: evaluate_subnet(supernet, subnet, images, labels, normalizer, calibration)
                for name, calibration in calibrations.items()
            }
        )
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
