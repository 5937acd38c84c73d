"""Layers with weights of few bits: as floats that can be trained and sliced, or packed as files hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.elastic.modules.quantize import dequantize, pack, quantize, quantized, require_bits, unpack


class _Quantized(nn.Module):
    """What quantized layers share: `bits`, and whether the float weight holds quantized numbers already.

    The weight has its plain name and shape, so a supernet's slices fit; its numbers are quantized at each call. What
    `settle` did once need not be done again, until the layer is trained or given other weights.
    """

    bits: int
    is_settled: bool
    weight: Any

    def effective_weight(self) -> Tensor:
        """Return the weight that the layer computes with."""
        if not self.is_settled:
            return quantized(self.weight, self.bits)
        # torch multiplies by a weight that asks for a gradient in another order, whether or not one is taken.
        return self.weight if torch.is_grad_enabled() else self.weight.detach()

    def train(self, mode: bool = True) -> Any:
        if mode:
            self.is_settled = False
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.is_settled = False
        super()._load_from_state_dict(*args, **kwargs)


class QuantizedLinear(_Quantized, nn.Linear):
    """A linear layer whose weight has few bits. Made of a plain one by `quantize_layers`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.effective_weight(), self.bias)


class QuantizedConv2d(_Quantized, nn.Conv2d):
    """A convolution whose weight has few bits. Made of a plain one by `quantize_layers`."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.effective_weight(), self.bias)


_QUANTIZED: dict[type[nn.Module], type[_Quantized]] = {nn.Linear: QuantizedLinear, nn.Conv2d: QuantizedConv2d}


def quantize_layers(module: nn.Module, bits: int) -> nn.Module:
    """Turn every plain `nn.Linear` and `nn.Conv2d` of `module`, in place, into a layer of `bits`; return `module`.

    Subclasses of theirs, grouped convolutions and those that pad with other than zeros stay as they are. `module` may
    be such a layer itself.
    """
    require_bits(bits)
    for layer in module.modules():
        if type(layer) in _QUANTIZED and _is_plain(layer):
            own: Any = layer
            own.__class__ = _QUANTIZED[type(layer)]
            own.bits, own.is_settled = bits, False
    return module


def _is_plain(layer: nn.Module) -> bool:
    return not isinstance(layer, nn.Conv2d) or (layer.groups == 1 and layer.padding_mode == "zeros")


def quantized_layers(module: nn.Module) -> Iterator[tuple[str, _Quantized]]:
    """Yield the layers of few bits of `module` that have float weights, by name."""
    for name, layer in module.named_modules():
        if isinstance(layer, _Quantized):
            yield name, layer


@torch.no_grad()
def settle(module: nn.Module) -> nn.Module:
    """Write into the float weights of `module` the numbers that are left of them, so that calls are quick; return it.

    Outputs stay the same, bit for bit; what few bits cannot hold is lost.
    """
    for _, layer in quantized_layers(module):
        if not layer.is_settled and not layer.weight.is_meta:
            layer.weight.copy_(quantized(layer.weight, layer.bits))
            layer.is_settled = True
    return module


class _Packed(nn.Module):
    """What packed layers share: integers and scales as a file holds them, made floats at each call.

    `packed_weight` is int8 (outputs, inputs) with 8 bits, uint8 with two integers a byte with 4; `weight_scale` are the
    scales. Neither is trained. `weight` gives floats, of the type of the scales if that is no longer the first one.
    """

    packed_weight: Tensor
    weight_scale: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bits: int = layer.bits
        self.shape = tuple(layer.weight.shape)
        whole, scale = quantize(layer.weight, self.bits)
        self.register_buffer("packed_weight", pack(whole) if self.bits == 4 else whole)
        self.register_buffer("weight_scale", scale)
        self.bias = layer.bias
        self.train(layer.training)

    @property
    def weight(self) -> Tensor:
        """The weight as floats, as large as that of the plain layer."""
        inputs = torch.Size(self.shape[1:]).numel()
        whole = unpack(self.packed_weight, inputs) if self.bits == 4 else self.packed_weight
        return dequantize(whole, self.weight_scale, self.bits).reshape(self.shape)

    def extra_repr(self) -> str:
        return f"{self.shape}, bits={self.bits}"


class PackedLinear(_Packed):
    """A linear layer that holds its weight packed."""

    def __init__(self, layer: QuantizedLinear) -> None:
        super().__init__(layer)
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def forward(self, input: Tensor) -> Tensor:
        """Return (..., outputs) for (..., inputs)."""
        return F.linear(input, self.weight.to(input.dtype), self.bias)


class PackedConv2d(_Packed):
    """A convolution that holds its weight packed."""

    def __init__(self, layer: QuantizedConv2d) -> None:
        super().__init__(layer)
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        self.kernel_size, self.stride = layer.kernel_size, layer.stride
        self.padding: Any = layer.padding
        self.dilation = layer.dilation

    def forward(self, input: Tensor) -> Tensor:
        """Return (batch, outputs, height, width) for (batch, inputs, height, width)."""
        weight = self.weight.to(input.dtype)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation)


def packed(module: nn.Module) -> nn.Module:
    """Return `module` with its layers of few bits packed: the same outputs, in as many bytes as a file takes.

    Containers are copied, everything else is shared. The tensors of a packed layer are "packed_weight", "weight_scale"
    and "bias". Without such layers `module` itself is returned.
    """
    return _packed(module, {})


def _packed(module: nn.Module, known: dict[nn.Module, nn.Module]) -> nn.Module:
    """Pack a module; one that stands in two places has one twin."""
    if module in known:
        return known[module]
    if isinstance(module, QuantizedLinear):
        twin = PackedLinear(module)
    elif isinstance(module, QuantizedConv2d):
        twin = PackedConv2d(module)
    elif not any(True for _ in quantized_layers(module)):
        twin = module
    else:
        twin = copy(module)
        twin._modules = {
            name: None if child is None else _packed(child, known) for name, child in module._modules.items()
        }
    known[module] = twin
    return twin


def unpacked_state(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of `packed(module)` as that of `module`: floats for the weights of its layers of few bits.

    What does not fit a layer is left as it is, for whoever loads the state to refuse.
    """
    found = dict(state)
    for name, layer in quantized_layers(module):
        prefix = f"{name}." if name else ""
        names = f"{prefix}packed_weight", f"{prefix}weight_scale"
        if not all(each in found for each in names):
            continue
        whole, scale = (found[each] for each in names)
        shape = layer.weight.shape
        inputs = torch.Size(shape[1:]).numel()
        wide = tuple(whole.shape) == (shape[0], inputs if layer.bits == 8 else -(-inputs // 2))
        if wide and len(scale) == shape[0]:
            whole = unpack(whole, inputs) if layer.bits == 4 else whole
            found[f"{prefix}weight"] = dequantize(whole, scale, layer.bits).reshape(shape)
            del found[names[0]], found[names[1]]
    return found
