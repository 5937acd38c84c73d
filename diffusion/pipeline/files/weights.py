"""The weights of a pipeline's part on disk: safetensors, or torch's `.bin` files of plain tensors where there are none.

Older pipelines have `.bin` files alone. They are pickles, and torch's restricted reader takes nothing but tensors and
plain containers from them (`weights_only=True`): what names any other object is refused, and no code in it is run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from nas.errors import NasError, UsageError

_BINS = "*pytorch_model*.bin"  # others, such as training_args.bin, hold no weights
_OTHERS = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a part's weights, sorted: its safetensors, or where there are none its `.bin` files."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob(_BINS))


def all_weight_files(pipeline: Path) -> list[Path]:
    """Return the files of all parts' weights in the folder of a pipeline, sorted."""
    parts = sorted(path for path in pipeline.iterdir() if path.is_dir()) if pipeline.is_dir() else []
    return [file for part in parts for file in weight_files(part)]


def has_safetensors(folder: Path) -> bool:
    """Whether a part's weights are safetensors."""
    return any(folder.glob("*.safetensors"))


def require_weights(folder: Path) -> list[Path]:
    """Return the files of a part's weights; raises `UsageError` or `NasError` where there are none that can be read."""
    found = weight_files(folder)
    if not found:
        others = sorted(file.name for file in folder.iterdir() if file.suffix in _OTHERS)
        if others:
            raise UsageError(
                f"{folder} holds weights as {', '.join(others)}, which anyfit does not read; save the pipeline with "
                "`save_pretrained`, which writes safetensors"
            )
        raise NasError(f"{folder} holds no weights (*.safetensors or {_BINS}); fetch the pipeline again")
    return found


def check_bin(path: Path) -> None:
    """Raise unless a `.bin` file holds tensors and nothing else; their values are not read."""
    import pickle

    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} holds more than tensors, and unpickling it could run any code, so it is refused; save the "
            "pipeline as safetensors"
        ) from error
    except Exception as error:  # torch's restricted reader lets foreign bytes raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NasError(f"{path} is no whole file of weights ({reason}); fetch it again") from error
    tensors = state.values() if isinstance(state, Mapping) else []
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors):
        raise UsageError(
            f"{path} holds no tensors by name; fetch the pipeline again, or save it as safetensors"
        )
