"""What a generator's checkpoint in the layout of rosinality and Anycost GAN tells of its family's options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nas.errors import NasError

if TYPE_CHECKING:
    from torch import Tensor

_NEEDED = ("input.input", "conv1.conv.weight", "to_rgb1.conv.weight", "style.1.weight")
_STYLE, _LARGER = re.compile(r"style\.(\d+)\.weight"), re.compile(r"convs\.(\d+)\.conv\.weight")


def checkpoint_channels(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the channels of every layer: constant, first convolution, then two for each resolution from 8 on.

    Raises `NasError` naming the tensors that are missing.
    """
    found = sorted(int(match[1]) for match in map(_LARGER.fullmatch, state) if match)
    wanted = [*_NEEDED, *(f"convs.{index}.conv.weight" for index in range(len(found)))]
    if missing := [name for name in wanted if name not in state]:
        more = f" and {len(missing) - 1} more tensors" if len(missing) > 1 else ""
        known = next(iter(state), "nothing")
        raise NasError(
            f"the checkpoint lacks {missing[0]}{more} (it has {known}, …); give the 'g_ema' of a StyleGAN2 generator "
            "in the layout of rosinality or Anycost GAN"
        )
    layers = ["conv1.conv.weight", *wanted[len(_NEEDED) :]]
    return (state["input.input"].shape[1], *(state[name].shape[1] for name in layers))


def published_options(state: Mapping[str, Tensor], base: Mapping[int, int]) -> dict[str, int | float]:
    """Return resolution, channel multiplier, cap, style size, mapping layers and classes that a checkpoint tells.

    `base` are the channels of each resolution at multiplier 1. Raises `NasError` for another layout, and for channels
    that no multiplier and cap give.
    """
    channels = checkpoint_channels(state)
    resolution = 4 * 2 ** (len(channels) // 2 - 1)
    cap, sizes = max(channels), [4 * 2 ** (layer // 2) for layer in range(len(channels))]
    if len(channels) % 2 or resolution not in base:
        raise NasError(
            f"the checkpoint has {len(channels)} layers, but two for each resolution from 4 to 1024 are expected; "
            "give a whole generator"
        )
    multiplier = max(count / base[size] for count, size in zip(channels, sizes, strict=True))
    expected = tuple(min(cap, int(base[size] * multiplier)) for size in sizes)
    if expected != channels:
        raise NasError(
            f"the checkpoint has channels {'-'.join(map(str, channels))}, but those of a largest "
            f"generator would be {'-'.join(map(str, expected))}; give that, not a subnet of it"
        )
    condition = state.get("condition.embed.weight")
    return {
        "resolution": resolution,
        "multiplier": multiplier,
        "cap": cap,
        "style": state["style.1.weight"].shape[0],
        "mapping": sum(1 for name in state if _STYLE.fullmatch(name)),
        "classes": 0 if condition is None else condition.shape[1],
    }
