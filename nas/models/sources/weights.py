"""Weights in files: by name, or by position where all shapes agree in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nas.errors import NasError
from nas.models import read_published

PREFIXES = ("module.", "model.", "_orig_mod.", "network.")
"""What wrappers put before every name: DataParallel, Lightning, torch.compile, and others."""
_UNTOLD = "num_batches_tracked"  # older checkpoints lack it, and inference does not need it


def load_weights(module: nn.Module, path: str | Path) -> str:
    """Load the weights of a file into a module: a `.safetensors` file, or a state dict of plain tensors.

    Nothing in the file is executed. Numbers are converted to the module's own precision.

    Args:
        module: What takes them.
        path: The file. Its names are those of the module, but for a prefix of all ("module."); names of another
            implementation do where the tensors stand in the module's order, with the same shapes.

    Returns:
        How they were found: "by name", "by name without module." or "by position".

    Raises:
        UsageError: There is no such file.
        NasError: It is damaged, or of another network; the first tensor that does not fit is named.
    """
    state = {name: tensor for name, tensor in read_published(path).items() if not name.endswith(_UNTOLD)}
    own = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith(_UNTOLD)}
    named, prefix = _without_prefix(state, own)
    if named.keys() == own.keys() and all(named[name].shape == own[name].shape for name in own):
        how = f"by name without {prefix}" if prefix else "by name"
    elif [tensor.shape for tensor in state.values()] == [tensor.shape for tensor in own.values()]:
        named, how = dict(zip(own, state.values(), strict=True)), "by position"
    else:
        raise NasError(
            f"{path} is of another network: {_difference(named, own)}; give the weights of this one"
        )
    module.load_state_dict(named, strict=False)
    return how


def _without_prefix(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors without what stands before all names, as long as that finds more of the module's."""
    named, taken = dict(state), ""
    while named:
        prefix = next((each for each in PREFIXES if all(name.startswith(each) for name in named)), None)
        if prefix is None or named.keys() == own.keys():
            break
        shorter = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        if len(shorter.keys() & own.keys()) < len(named.keys() & own.keys()):
            break
        named, taken = shorter, taken + prefix
    return named, taken


def _difference(named: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    for name, tensor in own.items():
        if name in named and named[name].shape != tensor.shape:
            return f"its {name} has shape {tuple(named[name].shape)}, but {tuple(tensor.shape)} is expected"
    missing = [name for name in own if name not in named]
    unknown = [name for name in named if name not in own]
    if missing and unknown:
        return (
            f"it has {unknown[0]}, which the network has not, and lacks {missing[0]} ({len(missing)} in all)"
        )
    return f"it lacks {missing[0]}" if missing else f"it has {unknown[0]}, which the network has not"
