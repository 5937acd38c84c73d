"""Weights without pickles: safetensors in, safetensors out, everything else refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nas.elastic import channels_last, packed, settle, unpacked_state
from nas.errors import NasError, UsageError

if TYPE_CHECKING:
    from torch import nn

PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".pickle", ".ckpt")


def refuse_pickle(path: str | Path) -> None:
    """Raise `UsageError` for a pickled file, told by its suffix or its first bytes."""
    path = Path(path)
    if not path.is_file():
        return
    with open(path, "rb") as file:
        head = file.read(4)
    # Protocols 2 to 5 begin with 0x80; torch.save writes a zip with a pickle inside.
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if path.suffix.lower() in PICKLE_SUFFIXES or pickled or (head[:2] == b"PK" and path.suffix != ".pt2"):
        raise UsageError(
            f"{path} is a pickle, and unpickling runs whatever code is inside; "
            "give a folder made by nas export or nas train, whose weights are safetensors"
        )


def save_weights(module: nn.Module, facts: Mapping[str, str]) -> bytes:
    """Return the module's parameters and buffers as a safetensors file, weights of few bits packed."""
    from safetensors.torch import save

    state = packed(module).state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return save(tensors, metadata=dict(facts))


def load_weights(module: nn.Module, path: str | Path) -> nn.Module:
    """Put the weights of a safetensors file into a module built without any (on meta); return it in eval mode.

    Raises `NasError` for a damaged file and for one of another network, `UsageError` for a pickle.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_pickle(path)
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise NasError(f"{path} does not exist; give a complete artifact") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise NasError(
            f"{path} is no intact safetensors file ({error}); get an intact copy or make it again"
        ) from error

    tensors = unpacked_state(module, tensors)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        wrong = next(name for name in {**expected, **found} if expected.get(name) != found.get(name))
        raise NasError(
            f"{path} holds other weights than its subnet: {wrong} is {found.get(wrong)} and not "
            f"{expected.get(wrong)}; get an intact copy or make it again"
        )
    module.load_state_dict(tensors, assign=True)
    return settle(channels_last(module.eval()))
