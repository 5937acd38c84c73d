"""Data as a verb takes them: opened ones, a source's name, or the arguments that open it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.data import Data, open_data

AnyData = Data | Mapping[str, Any] | str
"""Images: opened ones, a source such as "digits" or a folder, or the arguments of `nas.data.open_data`."""


def opened(data: AnyData | None) -> Data | None:
    """Return data that may be a source's name, or the arguments of `open_data`, as opened ones."""
    if data is None or isinstance(data, Data):
        return data
    return open_data(data) if isinstance(data, str) else open_data(**data)


__all__ = ["AnyData", "opened"]
