"""Folders of another library that are models too; packages register kinds under the entry point group "anyfit.sources".

`nas search --model KIND:PLACE` names one; so does the path of such a folder, which its mark tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from nas import families
from nas._errors import NasError

GROUP = "anyfit.sources"


class Source(ABC):
    """A kind of folder that is a model. Its module imports no heavy library before a method is called."""

    mark: str
    """The file that tells such a folder."""
    notes: str
    """The JSON file in the folder in which anyfit keeps what it knows of the model; it may be missing."""

    @abstractmethod
    def find(self, place: str) -> Path:
        """Return the folder that `place` names, a path or a name in a hub; raises `NasError` in one sentence."""

    @abstractmethod
    def describe(self, path: Path) -> dict[str, Any]:
        """Return what `read_model_config` returns, but for the space's digest, without loading weights."""

    @abstractmethod
    def digest(self, path: Path) -> str:
        """Return a hash of the weights in a folder."""

    @abstractmethod
    def load(self, path: Path) -> families.Model:
        """Load the model in a folder; raises `NasError` for a damaged or unsupported one."""


@cache
def sources() -> dict[str, Source]:
    """Return the installed kinds of folder by name."""
    found: dict[str, Source] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()()
        except ImportError as error:
            raise NasError(
                f"the source {entry.name!r} cannot be imported ({error}); install its package again"
            ) from error
    return found


def source_of(path: str | Path) -> Source | None:
    """Return the kind of a folder by its mark, or None."""
    return next((source for source in sources().values() if (Path(path) / source.mark).is_file()), None)


def find_in_source(text: str) -> Path | None:
    """Return the folder that "KIND:PLACE" names, or None where `text` begins with no kind."""
    kind, colon, place = text.partition(":")
    source = sources().get(kind) if colon else None
    return None if source is None else source.find(place)
