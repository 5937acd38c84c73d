"""Families by name: packages register a function that makes one under the entry point group "anyfit.families"."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Any

from nas import elastic
from nas._extras import missing
from nas.errors import NasError, UsageError

GROUP = "anyfit.families"


@cache
def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def families() -> list[str]:
    """Return the names of the installed families."""
    return sorted(_found())


def get_family(name: str, **options: Any) -> elastic.Family:
    """Make the family `name` with its options; raises `UsageError` for an unknown name, suggesting the nearest.

    Every family knows the option `bits`, such as [4, 8, 32]: how few bits weights may have (`nas.elastic.offer_bits`).
    """
    entry = _found().get(name)
    if entry is None:
        close = difflib.get_close_matches(name, families(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the installed ones are {', '.join(families())}"
        raise UsageError(f"there is no model family {name!r}; {hint}")
    try:
        make = entry.load()
    except ImportError as error:
        if sentence := missing(error):
            raise NasError(f"models of family {name!r} cannot be used: {sentence}") from error
        raise NasError(f"family {name!r} cannot be imported ({error}); install its package again") from error
    try:
        if "bits" in options and "bits" not in signature(make).parameters:
            own = {key: value for key, value in options.items() if key != "bits"}
            return elastic.offer_bits(make(**own), options["bits"])
        return make(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"family {name!r} cannot be made with options {options} ({error}); correct them"
        ) from error
