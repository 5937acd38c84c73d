"""Configurations of diffusers' denoisers: which are supported, and what of them matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import UsageError

CONDITIONAL, UNCONDITIONAL = "UNet2DConditionModel", "UNet2DModel"
DIT, PIXART = "DiTTransformer2DModel", "PixArtTransformer2DModel"
_DOWN = ("DownBlock2D", "AttnDownBlock2D", "CrossAttnDownBlock2D")
_UP = ("UpBlock2D", "AttnUpBlock2D", "CrossAttnUpBlock2D")
_MID = ("UNetMidBlock2D", "UNetMidBlock2DCrossAttn", None)
_SUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "mid_block_type": _MID,
    "addition_embed_type": (None, "text_time"),
    "encoder_hid_dim_type": (None, "text_proj"),
    "time_embedding_type": ("positional",),
    "time_cond_proj_dim": (None,),
    "attention_type": ("default",),
    "dual_cross_attention": (False,),
    "class_embeddings_concat": (False,),
}


def read_configuration(config: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a network of one of `kinds` as plain values, its class among them.

    What diffusers noted of its own version and of the file is dropped. Raises `UsageError` for a network of another
    kind, and for one with a block or a condition that is not supported.
    """
    kind = config.get("_class_name", kinds[0])
    kind = kind.removeprefix("Subnet") if isinstance(kind, str) else kind
    if kind not in kinds:
        raise UsageError(
            f"the configuration is of a {kind}, but {' or '.join(kinds)} is expected; give one of these"
        )
    read = {
        key: _plain(value) for key, value in config.items() if not key.startswith("_") and key != "subnet"
    }
    for key, blocks in (("down_block_types", _DOWN), ("up_block_types", _UP)):
        for block in read.get(key, ()):
            _require(key, block, blocks)
    for key, values in _SUPPORTED.items():
        if key in read:
            _require(key, read[key], values)
    return {"_class_name": kind, **read}


def _require(key: str, value: Any, supported: Sequence[Any]) -> None:
    if value not in supported:
        known = ", ".join(map(repr, supported))
        raise UsageError(
            f"the network's {key} is {value!r}, which is not supported ({known} is); give another network"
        )


def _plain(value: Any) -> Any:
    """Return tuples as lists, so that a configuration equals itself after a file."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
