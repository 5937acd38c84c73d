"""A model whose weights may have few bits: the bits of its layers are dimensions of its space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.models import Model, save_model


def write_with_bits(
    model: Model, folder: str | Path, bits: Sequence[int] = (4, 8, 32), name: str | None = None
) -> Path:
    """Write a model folder in which the weights of `model` may have few bits (see `nas.elastic.offer_bits`).

    What subnets of few bits are worth is not known yet: `nas search --model FOLDER --data …` measures it as it goes,
    `nas measure` makes a table, and a training that starts from the folder gets weights used to few bits.

    Args:
        model: a supernet of a folder of its own.
        folder: a new folder.
        bits: what is offered, of 4, 8 and 32, ascending, 32 among them.
        name: of the new model; by default the model's with "-bits".

    Returns:
        The folder.

    Raises:
        UsageError: the folder exists.
        SpaceError: bits that weights cannot have, or a family without a layer that could have few.
    """
    if "options" not in model.config:
        raise UsageError(
            f"{model.name} is read from another library's files; its bits are offered where its space is"
        )
    family = get_family(model.config["family"], **{**model.config["options"], "bits": [*bits]})
    with torch.random.fork_rng(devices=[]):
        supernet = Supernet(family)
    supernet.network.load_state_dict(model.supernet.network.state_dict())
    save_model(
        folder,
        supernet.eval(),
        name=name or f"{model.name}-bits",
        classes=model.classes,
        mean=model.mean,
        std=model.std,
        calibration=model.calibration,
        info={**model.info, "from": model.name},
    )
    return Path(folder)
