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
from nas.elastic import Supernet, calibrate, channels_last
from nas.errors import UsageError
from nas.models import Model
from nas.progress import Steps
from nas.space import Subnet

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


def calibrated(
    supernet: Supernet, subnet: Subnet, images: Tensor | None, normalizer: Normalizer, batch_size: int = 256
) -> nn.Module:
    """Extract `subnet` and recalibrate its BatchNorm on uint8 `images` (None: keep the sliced statistics)."""
    module = channels_last(supernet.extract(subnet))
    if images is not None:
        calibrate(module, inputs(images, supernet, subnet, normalizer, batch_size))
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
