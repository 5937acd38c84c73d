"""Which subnet a word, a JSON text, a file or a folder means: the one reading of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.elastic._family import Family
from nas.errors import UsageError
from nas.files import read_json
from nas.space import Subnet


def find_subnet(family: Family, text: str) -> Subnet:
    """Return the subnet of a family's space that `text` means.

    Args:
        family: whose names and dimensions are meant.
        text: a name that the family knows ("half", "bk-sdm-base", "smallest"), a JSON object or file of choices by
            dimension or by its last word ({"depth": 1, "mid": false}, the rest being the largest), a subnet.json, or a
            folder that has one.

    Raises:
        UsageError: for anything else, and for choices that the space does not have.
    """
    named = family.named()
    if text in named:
        return named[text]
    if text.lstrip().startswith("{"):
        return subnet_of_choices(family, _parsed(text), "the JSON of --subnet")
    path = Path(text).expanduser()
    if (path / "subnet.json").is_file():
        path = path / "subnet.json"
    if path.suffix == ".json" and path.is_file():
        return subnet_of_choices(family, read_json(path), str(path))
    raise UsageError(
        f"there is no subnet {text!r}; give one of {', '.join(named)}, a JSON object or file of choices, or the "
        "folder of one"
    )


def subnet_of_choices(family: Family, value: Any, where: str) -> Subnet:
    """Return the subnet of a JSON object of choices that was read from `where`; what it does not name is largest."""
    if not isinstance(value, Mapping):
        raise UsageError(f'{where} is no JSON object of choices; give one such as {{"depth": 1}}')
    choices = value["choices"] if isinstance(value.get("choices"), Mapping) else value
    words = {name.rpartition(".")[2] for name in family.space.names}
    for name in choices:
        if name not in family.space and name not in words:
            raise UsageError(
                f"{where} has {name!r}, which is no dimension of {family.space.name}; its dimensions end in "
                f"{', '.join(sorted(words))}, and the first is {family.space.names[0]}"
            )
    return family.uniform(1, **choices)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"the JSON of --subnet is not complete ({error}); mend it") from error
