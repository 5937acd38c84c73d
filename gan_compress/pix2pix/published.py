"""Published generators of pix2pix, CycleGAN and GAN Compression: what their tensors tell, and loading them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gan_compress.pix2pix.resnet_generator import FIRST_BLOCK, group_sizes
from nas.elastic import Supernet
from nas.errors import NasError
from nas.families import get_family
from nas.models import load_published, read_published

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_ADVICE = "give a ResNet generator of pix2pix, CycleGAN or GAN Compression"


def our_name(key: str, norm: str) -> str | None:
    """Return our name of a published tensor; None for one that is not needed.

    Early checkpoints have statistics of instance norms, which normalise every image by its own; those of networks
    that were trained on several devices have the prefix "module.".
    """
    name = key.removeprefix("module.")
    return None if norm == "instance" and name.rpartition(".")[2] in _STATISTICS else name


def options_of(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Return the options of the family that a generator's published state dict tells: all but the resolution.

    The channels of a sub-network become the largest ones of its space. Raises `NasError` for another layout.
    """
    shapes = {key.removeprefix("module."): tuple(tensor.shape) for key, tensor in state.items()}
    blocks = len({found[1] for key in shapes if (found := _BLOCK.match(key))})
    up = FIRST_BLOCK + blocks
    needed = [f"model.{place}.weight" for place in (1, 4, 7, up, up + 3, up + 7)]
    lacking = [key for key in needed if len(shapes.get(key, ())) != 4]
    if lacking or blocks < 3:
        foreign = [key for key in shapes if not _BLOCK.match(key) and key not in needed]
        missing = lacking[0] if lacking else "three residual blocks"
        raise NasError(
            f"the checkpoint has {_listed(foreign)}, but no convolution {missing}; {_ADVICE}"
            if lacking
            else f"the checkpoint has {blocks} residual blocks, but 3 or more are expected; {_ADVICE}"
        )
    separable = f"model.{FIRST_BLOCK}.conv_block.1.conv.0.weight" in shapes
    slot = (
        len(shapes.get(f"model.{FIRST_BLOCK}.conv_block.6.{'conv.2.' if separable else ''}weight", ())) == 4
    )
    numbers = _channels(shapes, blocks, separable)
    return {
        "ngf": max(numbers),
        "channels": "" if len(set(numbers)) == 1 else "_".join(map(str, numbers)),
        "blocks": blocks,
        "separable": separable,
        "dropout": slot,
        "norm": "batch" if "model.2.weight" in shapes else "instance",
        "inputs": shapes["model.1.weight"][1],
        "outputs": shapes[f"model.{up + 7}.weight"][0],
    }


def _channels(shapes: Mapping[str, tuple[int, ...]], blocks: int, separable: bool) -> list[int]:
    """Return the eight channel numbers that the shapes tell."""
    up, (first, second, _) = FIRST_BLOCK + blocks, group_sizes(blocks)
    inner = f"conv_block.1.{'conv.2.' if separable else ''}weight"
    places = [(f"model.{place}.weight", 0, times) for place, times in ((1, 1), (4, 2), (7, 4))]
    places += [
        (f"model.{FIRST_BLOCK + start}.{inner}", 0, 4) for start in (0, first, first + second)
    ]  # the first block of every group
    places += [(f"model.{up}.weight", 1, 2), (f"model.{up + 3}.weight", 1, 1)]
    numbers = []
    for key, axis, times in places:
        if len(shapes.get(key, ())) != 4:
            raise NasError(f"the checkpoint has no convolution {key}; {_ADVICE}")
        number, rest = divmod(shapes[key][axis], times)
        if rest or not number:
            raise NasError(
                f"the checkpoint's {key} has {shapes[key][axis]} channels, but a multiple of {times} is expected; "
                f"{_ADVICE}"
            )
        numbers.append(number)
    return numbers


def _listed(keys: list[str]) -> str:
    if len(keys) < 3:
        return " and ".join(keys) or "no other tensors"
    return f"{keys[0]}, {keys[1]} and {len(keys) - 2} more tensors"


def load_generator(path_or_url: str | Path, resolution: int = 256) -> Supernet:
    """Return a published generator as the supernet of its layout, in evaluation mode; nothing in the file is executed.

    A teacher or supernet gives all its subnets, a sub-network those that are smaller. `resolution` is the width and
    height of the images that costs are counted for. Raises `NasError` for an unreadable file or another layout.
    """

    state = read_published(path_or_url)
    supernet = Supernet(get_family("gan-compression", **options_of(state), resolution=resolution))
    load_published(supernet, state)
    return supernet.eval()
