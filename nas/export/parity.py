"""Parity: an exported file must compute what the supernet computes for the same subnet.

The reference is the supernet itself, sliced, with the calibrated BatchNorm statistics in place of its own; so the
check covers slicing, calibration, lowering and reloading, not only the last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.elastic import Inputs, batch_of, call, cat_inputs, map_inputs, split_inputs
from nas.errors import NasError
from nas.models.task import Forward

if TYPE_CHECKING:
    import torch

BATCH_SIZES = (1, 3, 8, 8, 3, 1)
"""Sizes of the batches that parity is checked on; an even mix, so that a frozen batch dimension is caught."""


class ParityError(NasError):
    """An exported file computes something else than the supernet; `rows` are the files that were compared."""

    rows: tuple[ParityRow, ...] = ()


@dataclass(frozen=True)
class ParityRow:
    """How far one file is from the supernet: largest |difference| over largest |reference| of any batch."""

    format: str
    delta: float
    tolerance: float
    batch_sizes: tuple[int, ...]
    images: str

    @property
    def ok(self) -> bool:
        """Whether the file is within tolerance; a NaN is not."""
        return self.delta <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Return the row as the manifest keeps it."""
        return {
            "format": self.format,
            "max_relative_delta": self.delta,
            "tolerance": self.tolerance,
            "batch_sizes": [*self.batch_sizes],
            "images": self.images,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ParityRow:
        """Read a row of the manifest."""
        sizes = tuple(value["batch_sizes"])
        return cls(value["format"], value["max_relative_delta"], value["tolerance"], sizes, value["images"])


def relative_delta(output: torch.Tensor, reference: torch.Tensor) -> float:
    """Return max|output - reference| ÷ max|reference|; infinite for another shape or where either is not finite."""
    if output.shape != reference.shape:
        return float("inf")
    out, ref = output.detach().double(), reference.detach().double()
    if not (out.isfinite().all() and ref.isfinite().all()):
        return float("inf")
    return float((out - ref).abs().max() / ref.abs().max().clamp_min(1e-30))


def split_batches(inputs: Inputs, sizes: Sequence[int] = BATCH_SIZES) -> list[Any]:
    """Cut `inputs` (n, ...) into batches of the given sizes, starting over when they run out."""
    needed = sum(sizes)
    repeated = cat_inputs([inputs] * -(-needed // batch_of(inputs)))
    return split_inputs(map_inputs(lambda x: x[:needed], repeated), sizes)


def compare(
    name: str,
    forward: Forward,
    references: Sequence[tuple[Any, torch.Tensor]],
    *,
    tolerance: float,
    images: str,
) -> ParityRow:
    """Run `forward` on the input of every (input, reference output) pair and return the largest difference."""
    import torch

    deltas: list[float] = []
    for x, reference in references:
        try:
            with torch.no_grad():
                output = forward(x)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise ParityError(
                f"the {name} export does not run on a batch of {batch_of(x)} ({reason}); nothing was written; "
                "report this with the subnet and versions"
            ) from error
        deltas.append(relative_delta(output, reference))
    sizes = tuple(batch_of(x) for x, _ in references)
    return ParityRow(name, max(deltas), tolerance, sizes, images)


def require_parity(rows: Sequence[ParityRow]) -> None:
    """Raise `ParityError` for the first row over its tolerance."""
    for row in rows:
        if not row.ok:
            error = ParityError(
                f"the {row.format} export differs from the supernet by {row.delta:.2e} of its largest output, over "
                f"the tolerance {row.tolerance:.0e}; nothing was written; report this with the subnet and versions"
            )
            error.rows = tuple(rows)
            raise error


def supernet_references(
    supernet: Any, subnet: Any, buffers: Mapping[str, torch.Tensor], batches: Sequence[Any]
) -> list[tuple[Any, torch.Tensor]]:
    """Run the supernet (eval mode) on `batches` with `buffers` for its own statistics; return (input, output) pairs."""
    import torch

    was_training = supernet.training
    supernet.eval()
    try:
        with torch.no_grad():
            return [(x, supernet(x, subnet, overrides=buffers)) for x in batches]
    finally:
        supernet.train(was_training)


def program_references(
    supernet: Any, subnet: Any, buffers: Mapping[str, torch.Tensor], program: Any, batches: Sequence[Any]
) -> list[tuple[Any, torch.Tensor]]:
    """Run one program on the supernet (eval mode) as `supernet_references` runs the whole; return the pairs."""
    import torch

    was_training = supernet.training
    supernet.eval()
    try:
        with torch.no_grad(), supernet.bound(subnet, buffers) as network:
            view = program.view(network).eval()
            return [(x, call(view, x)) for x in batches]
    finally:
        supernet.train(was_training)
