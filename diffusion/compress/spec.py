"""Which subnet a word, a JSON text, a file or a folder means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusion.denoisers.family import DenoiserFamily
from diffusion.pipeline.files.folder import INDEX, INFO, read_info
from nas.errors import UsageError
from nas.files import read_json
from nas.space import Subnet

PRUNED = "pruned"
"""The entry of a pruned pipeline's `anyfit.json` that says which subnet its denoiser is."""


def read_subnet(family: DenoiserFamily, text: str) -> Subnet:
    """Return the subnet that `text` means.

    It is a name ("half", "bk-sdm-base", "smallest"), a JSON object or file of choices by dimension or its last word
    ({"layers": 1, "mid": false}, the rest being the largest), a subnet.json, or the folder of a pruned pipeline. Raises
    `UsageError` for anything else.
    """
    named = {**family.named(), "smallest": family.space.smallest()}
    if text in named:
        return named[text]
    path = Path(text).expanduser()
    if text.lstrip().startswith("{"):
        return _chosen(family, _parsed(text), "the JSON of --subnet")
    if path.suffix == ".json" and path.is_file():
        return _chosen(family, read_json(path), str(path))
    if folder := pruned_folder(text):
        return _chosen(family, read_info(folder)[PRUNED], str(folder / INFO))
    raise UsageError(
        f"there is no subnet {text!r}; give one of {', '.join(named)}, a JSON object or file of choices, or the folder "
        "of a pruned pipeline"
    )


def pruned_folder(text: str) -> Path | None:
    """Return the folder of a pruned pipeline that `text` names, if it does."""
    path = Path(text).expanduser()
    for folder in (path, path / "model"):
        if (folder / INDEX).is_file():
            if isinstance(read_info(folder).get(PRUNED), dict):
                return folder
            raise UsageError(f"{folder} was not pruned by anyfit: its {INFO} names no choices; give another")
    return None


def cuts_entries(family: DenoiserFamily, subnet: Subnet) -> bool:
    """Whether the subnet keeps some of the entries of an axis, so that their order matters."""
    layouts = (layout for part in family.parts for layout in part.layouts.values())
    axes = {name for layout in layouts for axis in layout.axes for name in axis.dimensions}
    return any(name in axes and choice != family.space[name].choices[-1] for name, choice in subnet.items())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"the JSON of --subnet is not complete ({error}); mend it") from error


def _chosen(family: DenoiserFamily, value: Any, where: str) -> Subnet:
    if not isinstance(value, Mapping):
        raise UsageError(f'{where} is no JSON object of choices; give one such as {{"mid": false}}')
    choices = value["choices"] if isinstance(value.get("choices"), Mapping) else value
    words = {name.rpartition(".")[2] for name in family.space.names}
    for name in choices:
        if name not in family.space and name not in words:
            raise UsageError(
                f"{where} has {name!r}, which is no dimension of the denoiser; its dimensions end in "
                f"{', '.join(sorted(words))}, and the first is {family.space.names[0]}"
            )
    return family.uniform(1, **choices)
