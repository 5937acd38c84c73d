"""Importing: a model folder of a published checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.api.model import Model
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.models import load_model, load_published, read_published, save_model


def import_checkpoint(
    checkpoint: str | Path,
    output: str | Path,
    *,
    family: str = "ofa-mbv3",
    options: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
) -> Model:
    """Make a model folder of a published checkpoint, which is read without executing anything in it.

    Args:
        checkpoint: A file or an address.
        output: The model's folder, a new one.
        family: The checkpoint's model family.
        options: Those of the family that the checkpoint does not tell, such as {"width": 1.2}.
        classes: Their names; None for their numbers.
        name: The model's name; None for the folder's.

    Returns:
        The model, loaded from its new folder.

    Raises:
        UsageError: An unknown family, a folder that exists, another number of classes than the network tells apart.
        NasError: A checkpoint of another layout, or a damaged one.
    """
    state = read_published(str(checkpoint))
    told = get_family(family).published_options(state)
    supernet = Supernet(get_family(family, **{**told, **(options or {})}))
    load_published(supernet, state)
    given = supernet.family.options.get("classes", 0)
    count = given if isinstance(given, int) else 0
    if classes is not None and len(classes) != count:
        raise UsageError(
            f"{len(classes)} classes are named, but the network tells {count} apart; name those in its order"
        )
    named = [str(index) for index in range(count)] if classes is None else [*classes]
    mean, std = supernet.family.published_scale
    info = {"data": "imported", "checkpoint": Path(checkpoint).name}
    output = Path(output)
    save_model(output, supernet, name=name or output.name, classes=named, mean=mean, std=std, info=info)
    return Model.of(load_model(output))


__all__ = ["import_checkpoint"]
