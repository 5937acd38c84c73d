"""What governs one tensor: an axis for each of its dimensions and, for a convolution, its kernel size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from nas.elastic._axis import Axis, Segments
from nas.elastic._length import Choices, Length


@dataclass(frozen=True)
class Kernel:
    """An elastic kernel size: the centre of the full kernel.

    With `matrices` (once-for-all, Cai et al. 2020) a smaller kernel is the centre of the next larger one, as a row
    vector times a learned transposed matrix; they map (larger, smaller) to the matrix's name beside the weight.
    """

    size: Length
    matrices: Mapping[tuple[int, int], str] = field(default_factory=dict, hash=False)

    def steps(self, size: int, full: int) -> list[tuple[int, str | None]]:
        """Return the crops that lead from `full` to `size`, each with the name of its matrix."""
        steps: list[tuple[int, str | None]] = []
        current = full
        while current > size:
            known = [
                (smaller, name) for (larger, smaller), name in self.matrices.items() if larger == current
            ]
            following, matrix = max(known, default=(size, None))
            current = max(following, size)
            steps.append((current, matrix))
        return steps


def crop_centre(weight: torch.Tensor, size: int, matrix: torch.Tensor | None = None) -> torch.Tensor:
    """Return the central `size` entries of every kernel axis of `weight` (out, in, *kernel), times `matrix`."""
    for axis in range(2, weight.ndim):
        weight = weight.narrow(axis, (weight.shape[axis] - size) // 2, size)
    if matrix is None:
        return weight
    return F.linear(weight.flatten(2), matrix).reshape(weight.shape)


@dataclass(frozen=True)
class Layout:
    """The axes of one tensor of the largest network and, for an elastic kernel, its rule."""

    axes: tuple[Axis, ...]
    kernel: Kernel | None = None

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dimensions that decide the tensor's shape."""
        names = [name for axis in self.axes for name in axis.dimensions]
        return tuple(dict.fromkeys([*names, *(self.kernel.size.dimensions if self.kernel else ())]))

    def shape(self, choices: Choices) -> tuple[int, ...]:
        """Return the tensor's shape in the subnet of these choices."""
        lengths = tuple(axis.length(choices) for axis in self.axes)
        if self.kernel is None:
            return lengths
        return (*lengths[:2], *[self.kernel.size(choices)] * (len(lengths) - 2))

    def cuts(self, choices: Choices, largest: Choices) -> tuple[tuple[int, Segments], ...]:
        """Return (axis, segments) for each axis that the subnet does not keep whole."""
        found = []
        for position, axis in enumerate(self.axes):
            segments = axis.segments(choices, largest)
            if segments != ((0, axis.length(largest)),):
                found.append((position, segments))
        return tuple(found)


def cut(tensor: torch.Tensor, cuts: tuple[tuple[int, Segments], ...]) -> torch.Tensor:
    """Return the entries of `tensor` in `cuts`: a view where each axis has one segment, else a copy."""
    for axis, segments in cuts:
        pieces = [tensor.narrow(axis, start, stop - start) for start, stop in segments]
        tensor = pieces[0] if len(pieces) == 1 else torch.cat(pieces, axis)
    return tensor


def paste(full: torch.Tensor, cuts: tuple[tuple[int, Segments], ...], values: torch.Tensor) -> None:
    """Write `values` into the entries of `full` that `cut` reads."""
    if not cuts:
        full.copy_(values)
        return
    (axis, segments), rest = cuts[0], cuts[1:]
    pieces = values.split([stop - start for start, stop in segments], axis)
    for (start, stop), piece in zip(segments, pieces, strict=True):
        paste(full.narrow(axis, start, stop - start), rest, piece)
