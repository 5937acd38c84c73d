"""torchvision's classification data sets by name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from nas._errors import NasError, UsageError
from nas.train._sources._table import Source, Table, check_classes

_SPLITS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


def names() -> list[str]:
    """Return the names of torchvision's data sets."""
    import torchvision

    return sorted(torchvision.datasets.__all__)


def torchvision_data(name: str, root: Path, download: bool) -> Source:
    """Open the torchvision data set `name` (any case) kept under `root`; downloads only when `download` says so."""
    import torchvision

    known = {item.lower(): item for item in names()}
    if name.lower() not in known:
        raise UsageError(
            f"torchvision has no data set {name!r}; known are for example CIFAR10, CIFAR100, SVHN, STL10"
        )
    kind = getattr(torchvision.datasets, known[name.lower()])
    train, classes = _open(kind, "train", root, download)
    if train is None:
        raise UsageError(
            f"torchvision's {name} has no training split that nas can use; convert it to an image folder"
        )
    labels = train.labels
    if not classes:
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    check_classes(labels, classes, f"{name} under {root}")
    return Source(
        f"torchvision:{known[name.lower()]}",
        classes,
        train,
        _open(kind, "val", root, download)[0],
        _open(kind, "test", root, download)[0],
    )


def _open(kind: Any, split: str, root: Path, download: bool) -> tuple[Table | None, tuple[str, ...]]:
    parameters = inspect.signature(kind).parameters
    options: dict[str, Any] = {"download": True} if download and "download" in parameters else {}
    if "train" in parameters:
        if split == "val":
            return None, ()
        tries: list[dict[str, Any]] = [{"train": split == "train"}]
    elif "split" in parameters:
        tries = [{"split": word} for word in _SPLITS[split]]
    else:
        return None, ()
    for attempt in tries:
        try:
            data = kind(root, **attempt, **options)
        except (ValueError, TypeError):
            continue  # this data set has no such split
        except (RuntimeError, OSError) as error:
            raise NasError(
                f"torchvision's {kind.__name__} is not under {root} ({str(error).splitlines()[0]}); "
                "give its folder with --data-root, or --download to fetch it"
            ) from error
        return _table(data, kind.__name__, root), tuple(str(item) for item in getattr(data, "classes", ()))
    return None, ()


def _table(data: Any, name: str, root: Path) -> Table:
    labels = next(
        (getattr(data, field) for field in ("targets", "labels", "_labels") if hasattr(data, field)), None
    )
    if labels is None:
        raise UsageError(f"torchvision's {name} is no classification data set: it has no labels")

    def open_one(index: int):
        try:
            return data[index][0].convert("RGB")
        except (OSError, ValueError) as error:
            raise NasError(f"{name} under {root}: image {index} cannot be read ({error})") from error

    return Table(np.asarray(labels, dtype=np.int64), open_one)
