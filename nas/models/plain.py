"""Weights of other libraries in torch's files, read without executing anything in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.errors import NasError, UsageError


def read_plain(path: str | Path, option: str, wanted: str) -> Any:
    """Return what a file of plain tensors holds; it is never unpickled beyond them.

    `option` names the file for readers, `wanted` says what it should be. Raises `UsageError` where there is no file,
    `NasError` where it holds more than tensors.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"{option} {path} does not exist; give {wanted}") from error
    except Exception as error:  # what is wrong with a file shows in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NasError(f"{path} is no file of plain tensors ({reason}); give {wanted}") from error
