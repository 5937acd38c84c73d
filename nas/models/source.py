"""Folders of another library that are models too; packages register kinds under the entry point group "anyfit.sources".

`nas search --model KIND:PLACE` names one; so does the path of such a folder, which its mark tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from nas import models
from nas.errors import NasError

GROUP = "anyfit.sources"


class ModelSource(ABC):
    """A kind of folder that is a model, though another library wrote it.

    Life cycle: registered in the entry point group "anyfit.sources" under the KIND of "KIND:PLACE", and made once a
    process without arguments, even for `nas list`: its module imports no heavy library before a method is called.
    `find` turns what the user typed into a folder; `describe` is asked for lists and tables, `load` for work. Folders
    are never changed but for `notes`.
    """

    mark: str
    """The file that tells such a folder."""
    notes: str
    """The JSON file in the folder in which anyfit keeps what it knows of the model; it may be missing."""

    @abstractmethod
    def find(self, place: str) -> Path:
        """Find a folder.

        Args:
            place: A path, or a name in a hub from which the folder is fetched.

        Raises:
            NasError: There is none, or it is of another kind; in one sentence.
        """

    @abstractmethod
    def describe(self, path: Path) -> dict[str, Any]:
        """Return what `read_model_config` returns, but for the space's digest, without loading weights.

        That is "name", "family", "options", "classes", "mean", "std" and "info".

        Raises:
            NasError: The folder is damaged, or of a model that is not supported.
        """

    @abstractmethod
    def digest(self, path: Path) -> str:
        """Return a hash of the weights in a folder: figures that were measured with others are refused by it."""

    @abstractmethod
    def load(self, path: Path) -> models.Model:
        """Load the model in a folder, its supernet in evaluation mode.

        Nothing is unpickled, and no code that comes with the folder is run.

        Raises:
            NasError: The folder is damaged, or of a model that is not supported.
        """


@cache
def sources() -> dict[str, ModelSource]:
    """Return the installed kinds of folder by name."""
    found: dict[str, ModelSource] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()()
        except ImportError as error:
            raise NasError(
                f"the source {entry.name!r} cannot be imported ({error}); install its package again"
            ) from error
    return found


def source_of(path: str | Path) -> ModelSource | None:
    """Return the kind of a folder by its mark, or None."""
    return next((source for source in sources().values() if (Path(path) / source.mark).is_file()), None)


def find_in_source(text: str) -> Path | None:
    """Return the folder that "KIND:PLACE" names, or None where `text` begins with no kind."""
    kind, colon, place = text.partition(":")
    source = sources().get(kind) if colon else None
    return None if source is None else source.find(place)
