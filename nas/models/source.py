"""Models that others made; packages register kinds of them under the entry point group "anyfit.sources".

`nas search --model KIND:PLACE` names one; so does the path of a folder of another library, which its mark tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from nas import models
from nas.errors import NasError
from nas.progress import Listener

GROUP = "anyfit.sources"
NETWORKS = "anyfit.networks"
NETWORK, FILE = "network", "file"
"""The kind that makes models of any network (`nas.models.sources`), and that of networks in files of the user's."""


class ModelSource(ABC):
    """A kind of model that others made.

    Life cycle: registered in the entry point group "anyfit.sources" under the KIND of "KIND:PLACE", and made once a
    process without arguments, even for `nas list`: its module imports no heavy library before a method is called.
    """

    @abstractmethod
    def find(self, place: str, progress: Listener | None = None) -> Path:
        """Find the folder of a model, or make one.

        Args:
            place: A path, or a name in a hub from which it is fetched.
            progress: Hears what is going on where that takes longer than a moment.

        Raises:
            NasError: There is none, or it is of another kind; in one sentence.
        """


class FolderSource(ModelSource):
    """A kind of folder that is a model, though another library wrote it.

    `find` turns what the user typed into such a folder; `describe` is asked for lists and tables, `load` for work.
    Folders are never changed but for `notes`.
    """

    mark: str
    """The file that tells such a folder."""
    notes: str
    """The JSON file in the folder in which anyfit keeps what it knows of the model; it may be missing."""

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
def model_sources() -> dict[str, ModelSource]:
    """Return the installed kinds of models that others made, by name."""
    found: dict[str, ModelSource] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.load()()
        except ImportError as error:
            raise NasError(
                f"the source {entry.name!r} cannot be imported ({error}); install its package again"
            ) from error
    return found


def folder_sources() -> dict[str, FolderSource]:
    """Return the installed kinds of folders, by name."""
    return {name: source for name, source in model_sources().items() if isinstance(source, FolderSource)}


def source_of(path: str | Path) -> FolderSource | None:
    """Return the kind of a folder by its mark, or None."""
    return next(
        (source for source in folder_sources().values() if (Path(path) / source.mark).is_file()), None
    )


@cache
def network_kinds() -> Mapping[str, EntryPoint]:
    """Return what opens networks, by the kind that installed packages give it; none is imported."""
    return {entry.name: entry for entry in entry_points(group=NETWORKS)}


def network_place(text: str) -> tuple[str, str] | None:
    """Return kind and place of a network that a word names, "KIND:PLACE" or "FILE.py:NAME"; None for another word."""
    kind, colon, place = text.partition(":")
    if text.endswith(".py") or ".py:" in text:
        return FILE, text
    return (kind, place) if colon and kind in network_kinds() else None


def names_elsewhere(text: str) -> bool:
    """Whether a word names a model that others made: "KIND:PLACE", or a network of a library or a file."""
    return _kind_and_place(text) is not None


def find_in_source(text: str, progress: Listener | None = None) -> Path | None:
    """Return the folder of a model that others made, None where `text` names none."""
    found = _kind_and_place(text)
    return None if found is None else model_sources()[found[0]].find(found[1], progress)


def _kind_and_place(text: str) -> tuple[str, str] | None:
    kind, colon, place = text.partition(":")
    if network_place(text) is not None:
        return NETWORK, text
    return (kind, place) if colon and kind in model_sources() else None
