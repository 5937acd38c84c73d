"""The proof: a network cut out of the largest one computes what the largest one does with the rest masked.

Both are run in double precision on weights that hide nothing (no zeros, no ones, statistics that are not standard), for
keep-sets that are random, prefixes, and of a length of their own for each dimension. Right axes differ by 1e-15 of the
largest output, wrong ones by 1e-3 and more, so the threshold is no matter of taste.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import forget
from nas.derive.masked import Masked
from nas.derive.networks.program import GraphNetwork, Program, kept, with_tensors
from nas.derive.networks.record import record
from nas.derive.report import Proof
from nas.derive.spaces.kernels import ElasticKernel
from nas.derive.spaces.units import Dimensions
from nas.elastic import crop_centre
from nas.errors import UsageError

TOLERANCE = 1e-9
"""How much sliced and masked may differ, of the largest output, or of what masking changes of it."""
SMALLEST = 1e-4
"""The least share of the output that is compared: below it rounding would count."""
CAST = 1e-5
"""How much the graph may differ from a module whose code computes in single precision."""
ELSE = 1e-3
"""What differs by more computes something else."""


def prove(
    labels: Labels, dimensions: Dimensions, network: nn.Module, inputs: Sequence[Tensor], seed: int = 0
) -> Proof:
    """Compare sliced with masked networks; a dimension that fails is fixed, and the rest is proved again.

    Args:
        labels: of the network's graph.
        dimensions: of the labels; those that fail are fixed in them.
        network: the user's own; where no statistics are over elastic axes it is the masked network, independent of
            the graph.
        inputs: with the batch that was traced.
        seed: of weights and keep-sets.

    Returns:
        What was seen at last, and what was refuted on the way.

    Raises:
        UsageError: the graph does not compute what the network does.
    """
    with doubled():
        return _proved(labels, dimensions, network, inputs, seed)


@contextmanager
def doubled() -> Iterator[None]:
    """Have new tensors be of double precision while the block lasts."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _proved(
    labels: Labels, dimensions: Dimensions, network: nn.Module, inputs: Sequence[Tensor], seed: int
) -> Proof:
    bench = _Bench(labels, dimensions, network, inputs, seed)
    refuted: list[tuple[str, str]] = []
    while True:
        errors, moved = [], []
        for kind in ("random", "prefix", "mixed"):
            trial = bench.trial(kind)
            error, move = bench.compare(trial)
            errors.append(error)
            moved.append(move)
            if error > TOLERANCE:
                culprit = bench.culprit(trial)
                seen = f"fails the proof: sliced and masked differ by {error:.1e} of the output"
                refuted.append((culprit, seen))
                dimensions.fix(culprit, seen)
                dimensions.settle()
                bench = _Bench(labels, dimensions, network, inputs, seed)
                break
        else:
            return Proof(max(errors), min(moved), bench.graph_error, len(errors), tuple(refuted))


@dataclass(frozen=True)
class _Trial:
    """For each dimension by name: the order of its units, and how many are kept."""

    orders: Mapping[str, Tensor]
    choices: Mapping[str, int]


class _Bench:
    """One network with weights that hide nothing, and what it computes whole."""

    def __init__(
        self, labels: Labels, dimensions: Dimensions, network: nn.Module, inputs: Sequence[Tensor], seed: int
    ) -> None:
        self._labels, self._dimensions, self._network = labels, dimensions, network
        self._rng = np.random.default_rng(seed)
        self._inputs = [x.double() if x.is_floating_point() else x for x in inputs]
        self._state = revealing(labels.trace.state, labels.trace.same, seed)
        steps = record(labels, dimensions.axis, {}, dimensions.kernel_steps)
        self._program = Program(steps, labels.trace.output.name)
        widths = {name: len(f.atoms) for name, f in dimensions.offered()}
        self._largest = widths | {name: kernel.size for name, kernel in dimensions.kernels.items()}
        self._whole = Masked(labels, ())(self._state, self._inputs)
        self._scale = float(self._whole.abs().max().clamp_min(1e-12))
        self.graph_error = self._error(run_module(network, self._state, self._inputs), self._whole)
        if self.graph_error > ELSE:
            raise UsageError(
                f"{type(network.model).__name__} computes something else when it is exported (it differs by "
                f"{self.graph_error:.0e} of the output); make its forward independent of how it is run"
            )

    def _error(self, given: Tensor, expected: Tensor) -> float:
        if given.shape != expected.shape:
            return math.inf
        error = float((given - expected).abs().max()) / self._scale
        return math.inf if math.isnan(error) else error

    def trial(self, kind: str) -> _Trial:
        """Draw a keep-set: half of every dimension at random, the first half, or a share of its own for each."""
        orders, choices = {}, {}
        for name, full in ((name, self._largest[name]) for name, _ in self._dimensions.offered()):
            share = 0.5 if kind != "mixed" else self._rng.uniform(0.2, 1)
            choices[name] = max(2, min(full - 1, math.ceil(full * share)))
            order = np.arange(full) if kind == "prefix" else self._rng.permutation(full)
            orders[name] = torch.from_numpy(order)
        for name, kernel in self._dimensions.kernels.items():
            choices[name] = int(self._rng.choice(kernel.choices)) if kind == "mixed" else kernel.choices[0]
        return _Trial(orders, choices)

    @torch.no_grad()
    def compare(self, trial: _Trial) -> tuple[float, float]:
        """Return how much sliced and masked differ, and how much masked and whole do."""
        left_out = []
        for name, found in self._dimensions.offered():
            left_out += np.array(found.atoms)[trial.orders[name].numpy()[trial.choices[name] :]].tolist()
        mask = Masked(self._labels, left_out)
        state = without_rings(mask.state(self._state), self._dimensions.kernels, trial.choices)
        masked = mask(state, self._inputs)
        moved = self._error(masked, self._whole)
        try:
            sliced = self._sliced(trial)
        except (RuntimeError, ValueError, IndexError, KeyError):
            return math.inf, moved
        # What is left out, or what is left, may be little of the output; a mistake is no larger.
        part = max(SMALLEST, min(1, moved, float(masked.abs().max()) / self._scale))
        error = self._error(sliced, masked) / part
        if mask.is_plain and self.graph_error <= TOLERANCE:
            error = max(error, self._error(sliced, run_module(self._network, state, self._inputs)) / part)
        return error, moved

    def _sliced(self, trial: _Trial) -> Tensor:
        network = GraphNetwork(self._program, trial.choices, self._largest, exact=True)
        state = dict(self._state)
        for name, tables in self._labels.tensors.items():
            tensor = state[name]
            for place, (table, size) in enumerate(zip(tables, tensor.shape, strict=True)):
                axis = self._dimensions.axis(table, size)
                if axis.dimensions:
                    order = axis.permutation(trial.orders, self._largest)
                    tensor = tensor.index_select(place, order[kept(axis, trial.choices, self._largest)])
            state[name] = tensor
        for name, kernel in self._dimensions.kernels.items():
            state[kernel.tensor] = crop_centre(state[kernel.tensor], trial.choices[name])
        return with_tensors(network, state)(*self._inputs)

    def culprit(self, trial: _Trial) -> str:
        """Return a dimension without which fewer or none fail: alone, or as the last of those that do."""
        names = [*self._largest]

        def fails(some: Sequence[str]) -> bool:
            choices = {name: trial.choices[name] if name in some else self._largest[name] for name in names}
            return self.compare(_Trial(trial.orders, choices))[0] > TOLERANCE

        alone = next((name for name in names if fails([name])), None)
        if alone is None:
            low, high = 1, len(names)
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if fails(names[:middle]) else (middle + 1, high)
            alone = names[low - 1]
        return alone


@torch.no_grad()
def run_module(network: nn.Module, state: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Run a network on tensors by name in double precision."""
    first: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    for path, module in network.named_modules():
        for leaf, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = f"{path}.{leaf}" if path else leaf
            if tensor is not None and (known := first.setdefault(id(tensor), name)) in state:
                tensors[name] = state[known]
    forget(network)
    try:
        with doubled():
            # Each name is given: what ties weights in there would leave ours in a module that two others have.
            return functional_call(network, tensors, tuple(inputs), tie_weights=False)
    finally:
        forget(network)


def without_rings(
    state: Mapping[str, Tensor], kernels: Mapping[str, ElasticKernel], choices: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return tensors whose kernels are zero around the sizes that `choices` have of them."""
    found = dict(state)
    for name, kernel in kernels.items():
        margin = (kernel.size - choices[name]) // 2
        inside = (..., *[slice(margin, kernel.size - margin)] * len(kernel.axes))
        found[kernel.tensor] = torch.zeros_like(state[kernel.tensor])
        found[kernel.tensor][inside] = state[kernel.tensor][inside]
    return found


def revealing(state: Mapping[str, Tensor], same: Mapping[str, str], seed: int) -> dict[str, Tensor]:
    """Return tensors in double precision whose values hide no mistake: biases are not zero, statistics not standard."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if (first := same.get(name, name)) in found:
            found[name] = found[first]
            continue
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if not tensor.is_floating_point():
            found[name] = tensor
        elif name.endswith("running_var"):
            found[name] = noise.abs() + 0.5
        elif name.endswith(("running_mean", "bias")):
            found[name] = noise * 0.3
        elif not isinstance(tensor, nn.Parameter):
            found[name] = tensor.double()
        elif tensor.ndim >= 2 and tensor.numel() > 1:
            found[name] = noise / max(1, tensor[0].numel()) ** 0.5
        else:
            found[name] = noise.abs().clamp_max(2) * 0.4 + 0.4
    return found
