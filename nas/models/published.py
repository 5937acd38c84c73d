"""Published checkpoints of a family's reference implementation: reading them, and loading them into a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from nas.elastic import Supernet
from nas.errors import NasError, UsageError

if TYPE_CHECKING:
    import torch

_UNDER = ("state_dict", "g_ema", "model_state_dict", "model")


def load_published(supernet: Supernet, state: Mapping[str, torch.Tensor]) -> None:
    """Load a published state dict; raises `NasError` naming what is missing, unknown or has another shape.

    Matrices that only a supernet has keep the identity where the checkpoint has none.
    """
    family = supernet.family
    names = {key: family.published_name(key) for key in state}
    renamed = {name: state[key] for key, name in names.items() if name is not None}
    own = supernet.network.state_dict()
    optional = {f"{part.name}.{name}" for part in family.parts for name in part.matrices}
    missing = [
        key
        for key in own
        if key not in renamed and key not in optional and not key.endswith("num_batches_tracked")
    ]
    unknown = [key for key, name in names.items() if name is not None and name not in own]
    advice = f"give one of {family.name} with these options: {_told(family.options)}"
    if unknown or missing:
        which = (
            f"has {_listed(unknown)}, which this network has not" if unknown else f"lacks {_listed(missing)}"
        )
        raise NasError(f"the checkpoint {which}; {advice}")
    for key, tensor in renamed.items():
        if tuple(tensor.shape) != tuple(own[key].shape):
            raise NasError(
                f"the checkpoint's {key} has shape {tuple(tensor.shape)}, but {tuple(own[key].shape)} is expected; "
                f"{advice}"
            )
    supernet.network.load_state_dict(renamed, strict=False)


def _told(options: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "none"


def _listed(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more tensors"


def read_published(path_or_url: str | Path) -> dict[str, Any]:
    """Read a published checkpoint from a file or URL with `weights_only=True`: nothing in it is executed.

    A plain state dict is taken, one under "state_dict" or "g_ema", and a `.safetensors` file.
    """
    import torch

    text = str(path_or_url)
    try:
        if urlparse(text).scheme in ("http", "https"):
            value = torch.hub.load_state_dict_from_url(text, map_location="cpu", weights_only=True)
        elif text.endswith(".safetensors"):
            from safetensors.torch import load_file

            value = load_file(text)
        else:
            value = torch.load(text, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"{text} does not exist; give a checkpoint file or its URL") from error
    except OSError as error:
        raise NasError(
            f"{text} cannot be read ({error}); it may be truncated, or the path or network wrong"
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise NasError(
            f"{text} is no checkpoint of plain tensors ({reason}); it may be truncated or unsafe"
        ) from error
    state = value
    if isinstance(value, dict):
        state = next((value[name] for name in _UNDER if isinstance(value.get(name), dict)), value)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(v, torch.Tensor) for v in state.values())
    ):
        raise NasError(
            f"{text} holds no state dict; give a checkpoint whose 'state_dict' or 'g_ema' maps names to tensors"
        )
    return state
