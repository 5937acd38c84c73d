"""Which subnet a word, a JSON text, a file or a folder means: a pruned pipeline's is one of them."""

from __future__ import annotations

from pathlib import Path

from diffusion.pipeline.files.folder import INDEX, INFO, read_info
from nas.elastic import Family, find_subnet, subnet_of_choices
from nas.errors import UsageError
from nas.space import Subnet

PRUNED = "pruned"
"""The entry of a pruned pipeline's `anyfit.json` that says which subnet its denoiser is."""


def read_subnet(family: Family, text: str) -> Subnet:
    """Return the subnet that `text` means: all that `nas.elastic.find_subnet` takes, or a pruned pipeline's folder.

    Raises `UsageError` for anything else, and for the folder of a pipeline that was not pruned.
    """
    if names_folder(family, text) and (folder := pruned_folder(text)):
        return subnet_of_choices(family, read_info(folder)[PRUNED], str(folder / INFO))
    return find_subnet(family, text)


def names_folder(family: Family, text: str) -> bool:
    """Whether `text` is a path, not a name of the family's and not choices in JSON."""
    return text not in family.named() and not text.lstrip().startswith("{")


def pruned_folder(text: str) -> Path | None:
    """Return the folder of a pruned pipeline that `text` names, if it does."""
    path = Path(text).expanduser()
    for folder in (path, path / "model"):
        if (folder / INDEX).is_file():
            if isinstance(read_info(folder).get(PRUNED), dict):
                return folder
            raise UsageError(f"{folder} was not pruned by anyfit: its {INFO} names no choices; give another")
    return None
