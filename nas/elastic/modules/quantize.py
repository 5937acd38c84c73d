"""Weights of few bits: symmetric integers times scales, and how four-bit integers are packed.

A weight (outputs, ...) is a matrix (outputs, inputs), kernels among the inputs. With 8 bits every output has a scale,
with 4 bits every block of 32 inputs of an output has one, the last block being the rest. Quantization is a projection:
what it gives is left as it is by doing it again, bit for bit, because scales are cut to so few digits that an integer
times its scale is exact. So a weight may be held as floats, as integers or packed, and means the same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.space import SpaceError

BLOCK = 32
"""Inputs that share a scale with 4 bits."""
BITS = (4, 8)
FULL = 32
"""The choice of a dimension of bits that leaves a weight as it is."""
_TOP = {4: 7, 8: 127}
_CUT = {4: -(1 << 13), 8: -(1 << 8)}  # masks that leave 10 and 15 digits after the point of a float32
_SMALLEST_HALF = 2.0**-24


def require_bits(bits: int) -> None:
    """Raise `SpaceError` unless weights can have so many bits."""
    if bits not in BITS:
        raise SpaceError(
            f"weights of {bits!r} bits are asked for, but they can have 4 or 8; choose one of these"
        )


def quantize(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the integers, int8 (outputs, inputs), and the scales of a weight (outputs, ...).

    Scales are float32 (outputs, 1) for 8 bits, float16 (outputs, blocks) for 4. The largest of a scale's weights
    becomes ±127 or ±7. A weight that is not finite gives a scale that is not.
    """
    require_bits(bits)
    matrix = weight.detach().flatten(1).float()
    top = _TOP[bits]
    scale = _cut(_blocks(matrix, bits).abs().amax(dim=2) / top, bits)
    spread = _spread(scale, matrix.shape[1], bits)
    whole = torch.where(spread > 0, matrix / spread, 0).round().clamp(-top, top)
    return whole.nan_to_num().to(torch.int8), scale.half() if bits == 4 else scale


def dequantize(whole: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the weight, float32 (outputs, inputs), of integers and scales."""
    return whole.float() * _spread(scale.float(), whole.shape[1], bits)


def pack(whole: Tensor) -> Tensor:
    """Return integers from -8 to 7, int8 (outputs, inputs), two in a byte: uint8 (outputs, inputs / 2, rounded up).

    The first of two is the low half of the byte; both are in two's complement, as ONNX packs INT4.
    """
    halves = F.pad(whole, (0, whole.shape[1] % 2)).view(torch.uint8) & 15
    return halves[:, 0::2] | halves[:, 1::2] << 4


def unpack(packed: Tensor, inputs: int) -> Tensor:
    """Return the integers, int8 (outputs, inputs), that `pack` put into bytes."""
    halves = torch.stack([packed & 15, packed >> 4], dim=2).flatten(1)[:, :inputs]
    return (halves.to(torch.int8) ^ 8) - 8


def quantized_bytes(shape: torch.Size | tuple[int, ...], bits: int) -> int:
    """Return the bytes of a quantized weight of this shape: integers and scales."""
    outputs, inputs = shape[0], torch.Size(shape[1:]).numel()
    if bits == 8:
        return outputs * (inputs + 4)
    return outputs * (-(-inputs // 2) + 2 * -(-inputs // BLOCK))


class _StraightThrough(torch.autograd.Function):
    """Quantized forwards, the identity backwards (Bengio et al. 2013, "Estimating or Propagating Gradients")."""

    @staticmethod
    def forward(ctx: object, weight: Tensor, bits: int) -> Tensor:
        found = dequantize(*quantize(weight, bits), bits).reshape(weight.shape)
        return torch.empty_like(weight).copy_(found)  # in the memory order of the weight

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def quantized(weight: Tensor, bits: int) -> Tensor:
    """Return the weight that is left of `weight` with so many bits; its gradient is that of `weight`."""
    return _StraightThrough.apply(weight, bits)  # pyright: ignore[reportReturnType]


def _blocks(matrix: Tensor, bits: int) -> Tensor:
    """Return (outputs, blocks, inputs of a block); the last block is filled up with zeros."""
    if bits == 8:
        return matrix[:, None]
    return F.pad(matrix, (0, -matrix.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))


def _spread(scale: Tensor, inputs: int, bits: int) -> Tensor:
    """Return the scale of every input."""
    return scale if bits == 8 else scale.repeat_interleave(BLOCK, dim=1)[:, :inputs]


def _cut(scale: Tensor, bits: int) -> Tensor:
    """Return scales with fewer digits, never a larger one: the largest weight of each must stay the largest integer."""
    cut = (scale.view(torch.int32) & _CUT[bits]).view(torch.float32)
    if bits == 8:
        return cut
    below = (cut / _SMALLEST_HALF).floor() * _SMALLEST_HALF  # float16 has a fixed number of digits there
    return torch.where(cut < 2.0**-14, below, cut)
