"""torchvision's classification data sets by name."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.sources.table import DataSource, ImageTable, check_classes
from nas.errors import NasError, UsageError

_SPLITS = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


def names() -> list[str]:
    """Return the names of torchvision's data sets."""
    import torchvision

    return sorted(torchvision.datasets.__all__)


def nearest(name: str) -> str | None:
    """Return the name of torchvision's that `name` most likely means, if any is near."""
    known = {item.lower(): item for item in names()}
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return known[near[0]] if near else None


def torchvision_data(name: str, root: Path, download: bool) -> DataSource:
    """Open the torchvision data set `name` (any case) kept under `root`; downloads only when `download` says so."""
    import torchvision

    known = {item.lower(): item for item in names()}
    if name.lower() not in known:
        near = nearest(name)
        hint = f"did you mean {near!r}" if near else "known are for example CIFAR10, CIFAR100, SVHN, STL10"
        raise UsageError(f"torchvision has no data set {name!r}; {hint}")
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
    return DataSource(
        f"torchvision:{known[name.lower()]}",
        classes,
        train,
        _open(kind, "val", root, download)[0],
        _open(kind, "test", root, download)[0],
    )


def _open(kind: Any, split: str, root: Path, download: bool) -> tuple[ImageTable | None, tuple[str, ...]]:
    parameters = inspect.signature(kind).parameters
    if any(_is_required(parameter) for name, parameter in parameters.items() if name != "root"):
        return None, ()
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
        except Exception as error:  # a broken file makes torchvision's readers raise anything
            if "split" in attempt and str(error).startswith("Unknown value"):
                continue  # this data set has no such split
            raise _refusal(error, kind.__name__, root) from error
        return _table(data, kind.__name__, root), tuple(_words(item) for item in getattr(data, "classes", ()))
    return None, ()


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variadic


def _refusal(error: Exception, name: str, root: Path) -> NasError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) or "download" in str(error):
        todo = "give its folder with --data-root, or --download to fetch it"
        return NasError(f"torchvision's {name} is not under {root} ({reason}); {todo}")
    return NasError(
        f"torchvision's {name} under {root} cannot be read ({reason}); delete it and fetch it again"
    )


def _words(name: Any) -> str:
    """Return a class's name; ImageNet's are tuples of synonyms."""
    return ", ".join(name) if isinstance(name, tuple) else str(name)


def _table(data: Any, name: str, root: Path) -> ImageTable:
    labels = next(
        (getattr(data, field) for field in ("targets", "labels", "_labels") if hasattr(data, field)), None
    )
    if labels is None and hasattr(data, "_samples"):  # pairs of a path and a label, as GTSRB and Imagenette
        labels = [label for _, label in data._samples]
    if labels is None:
        raise UsageError(f"torchvision's {name} is no classification data set: it has no labels")

    def open_one(index: int):
        try:
            return data[index][0].convert("RGB")
        except (OSError, ValueError) as error:
            raise NasError(f"{name} under {root}: image {index} cannot be read ({error})") from error

    return ImageTable(np.asarray(labels, dtype=np.int64), open_one)
