"""Tensors of a generator's style space in a file: safetensors, what they are as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nas.errors import NasError, UsageError
from nas.files import write_atomic
from nas.models import WEIGHTS, Model, available_models

VERSION = 1


def weights_digest(model: Model) -> str | None:
    """Return the hash of the model's weights, to which its style space belongs."""
    return model.config.get("files", {}).get(WEIGHTS)


def write_tensors(
    path: str | Path, kind: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]
) -> None:
    """Write tensors and `info` as a file of `kind`, as a whole or not at all."""
    from safetensors.torch import save

    described = {"format": f"anyfit-{kind}", "version": VERSION, **info}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(plain, {"anyfit": json.dumps(described, ensure_ascii=False)}))


def read_tensors(
    path: str | Path, kind: str, model: Model, make: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file of `kind` and its `info`; `make` is the command that writes such a file.

    Raises `UsageError` for a missing or foreign file and `NasError` for one of another model's style space.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            info = json.loads((file.metadata() or {}).get("anyfit", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; make one with `{make}`") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no {kind} of anyfit's ({error}); make one with `{make}`") from error
    if not isinstance(info, dict) or info.get("format") != f"anyfit-{kind}" or info.get("version") != VERSION:
        raise UsageError(f"{path} is no {kind} of this version of anyfit; make one with `{make}`")
    if info.get("weights") != weights_digest(model):
        raise NasError(
            f"{path} was made with other weights of {info.get('model')} than {model.name} has; name that model with "
            f"--model, or make one with `{make}`"
        )
    return tensors, info


def model_of(path: str | Path) -> str | None:
    """Return the name of the model that a file of tensors belongs to, if a model of that name is at hand."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            name = json.loads((file.metadata() or {}).get("anyfit", "{}")).get("model")
    except (SafetensorError, OSError, ValueError, AttributeError):
        return None
    return name if name in {known for known, _, _ in available_models()} else None
