"""What a network computes, by kind of operation, without computing it: what its latency depends on.

A forward pass on the meta device is watched operation by operation. MACs alone mislead: what only moves or
rescales numbers has none and takes time all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.zoo.facts import COUNTS

_BLOCK, _IMAGE = (
    8,
    4,
)  # channels that processors take at once; fewer than an image has are a case of their own
_MATMULS = {"mm": 0, "addmm": 1, "bmm": 0, "baddbmm": 1}  # where the first factor stands
_CHEAP = "add sub mul relu hardtanh hardswish hardsigmoid clamp maximum minimum leaky_relu where neg abs prelu addcmul"
_COSTLY = (
    "gelu silu sigmoid tanh exp erf softmax _softmax _safe_softmax div rsqrt sqrt pow mish elu softplus log"
)
_MOVED = (
    "clone copy _to_copy cat stack reflection_pad2d index index_select slice split "
    "split_with_sizes gather roll flip permute transpose pixel_shuffle pixel_unshuffle im2col unfold "
    "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d repeat"
)
_REDUCED = (
    "mean sum var var_mean amax max max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d "
    "linalg_vector_norm std cumsum topk sort"
)
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(_CHEAP.split(), "cheap"),
    **dict.fromkeys(_COSTLY.split(), "costly"),
    **dict.fromkeys(_MOVED.split(), "moved"),
    **dict.fromkeys(_REDUCED.split(), "reduced"),
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), "normalized"),
}


def operation_counts(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> dict[str, int]:
    """Count what a pass over one image takes.

    Args:
        build: Makes the network; called with the meta device as the default, so that no weight is drawn.
        shape: Of the image: channels, height, width.

    Returns:
        The counts by the names of `COUNTS`.
    """
    with torch.device("meta"), torch.no_grad():
        module = build().eval()
        with _Counting() as counting:
            module(torch.empty(1, *shape))
    params = sum(parameter.numel() for parameter in module.parameters())
    return {"params": params, **{name: counting.counts[name] for name in COUNTS if name != "params"}}


class _Counting(TorchDispatchMode):
    """Adds up the operations that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [x for x in tree_leaves(args) if isinstance(x, Tensor)]
        # What weights alone go through is computed once, before a runtime starts.
        if any(not isinstance(x, nn.Parameter) for x in inputs):
            outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
            self._count(func.overloadpacket.__name__, args, inputs, outputs[0].numel() if outputs else 0)
        return result

    def _count(self, name: str, args: tuple[Any, ...], inputs: list[Tensor], written: int) -> None:
        plain = name.rstrip("_") if name not in _KINDS else name
        if name == "convolution":
            self._convolution(args, written)
        elif name in _MATMULS:
            first, second = inputs[_MATMULS[name] :][:2]
            kind = "linear" if isinstance(second, nn.Parameter) or second.dim() == 2 else "attention"
            self._add("matmul", **{f"macs_{kind}": written * first.shape[-1], f"out_{kind}": written})
        elif name.startswith("_scaled_dot_product"):
            query, _, value = inputs[:3]
            pairs = prod(query.shape[:-1]) * value.shape[-2]
            macs = pairs * (query.shape[-1] + value.shape[-1])
            self._add("matmul", macs_attention=macs, out_attention=pairs + written, costly=pairs)
            self._add("matmul")
        elif (kind := _KINDS.get(plain)) is not None:
            self._add("other", **{kind: max(x.numel() for x in inputs) if kind == "reduced" else written})

    def _convolution(self, args: tuple[Any, ...], written: int) -> None:
        weight, groups = args[1], args[-1]
        macs = written * prod(weight.shape[1:])
        if args[6]:  # transposed: every input is spread over a kernel
            macs = args[0].numel() * prod(weight.shape[1:])
        if weight.shape[0] % _BLOCK or (args[0].shape[1] % _BLOCK and args[0].shape[1] > _IMAGE):
            self.counts["unaligned"] += macs
        kind = "grouped"
        if groups == 1:
            kind = "dense" if prod(weight.shape[2:]) > 1 else "pointwise"
        elif weight.shape[1] == 1 and groups == weight.shape[0]:
            kind = "depthwise"
        self._add(
            "conv", **{f"macs_{kind}": macs, f"out_{'depthwise' if kind == 'depthwise' else 'conv'}": written}
        )

    def _add(self, kind: str, **counts: int) -> None:
        self.counts[f"ops_{kind}"] += 1
        self.counts.update(counts)
