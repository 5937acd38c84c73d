"""The door: a torch module with example inputs becomes a family with its weights."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from nas.derive.agreement import Agreement, family_of_modules, short
from nas.derive.checks import check_module
from nas.derive.draft import Draft
from nas.derive.labels.labels import Labels
from nas.derive.labels.trace import Network, input_names, trace
from nas.derive.networks.family import DerivedFamily, Template
from nas.derive.proof import prove as prove_axes
from nas.derive.report import Report
from nas.derive.resolutions import Resolutions
from nas.derive.spaces.choices import SHARES, lengths_of
from nas.derive.spaces.depth import Block, residual_blocks
from nas.derive.spaces.units import Dimensions
from nas.derive.walk import label
from nas.elastic import BITS, FULL, offer_bits
from nas.errors import UsageError

ENOUGH = 1 / 3
"""Share of the range of MACs that the model's own modules have to reach; with less the graph is used."""
_OFFERED = ("stream", "head_size", "kernel", "bits")


@dataclass(frozen=True)
class Derivation:
    """A derived family.

    Attributes:
        family: of the model; `family.options` holds the specification (JSON) that makes it again without tracing,
            `nas.derive.DerivedFamily(specification, template)` does so, the template being the module anew, its
            parameters on any device (None where `report.built_from` is "graph").
        state_dict: the model's weights under the names of `Supernet(family).network`: "model." before the module's own.
        report: what was found.
    """

    family: DerivedFamily
    state_dict: dict[str, Tensor]
    report: Report


def derive(
    module: nn.Module,
    example_inputs: tuple[Tensor, ...],
    *,
    elastic: str | Sequence[str] = (),
    resolutions: Sequence[int] = (),
    widths: Sequence[float] = SHARES,
    output: str | int | None = None,
    prove: bool = True,
    seed: int = 0,
    name: str = "",
) -> Derivation:
    """Find the elastic axes of a model and make a family of it.

    Args:
        module: any, in evaluation mode, on the processor and in single precision; it is not changed.
        example_inputs: what it is called with, by place; the first axis of each is the batch. Several inputs become
            inputs by the names of the arguments of `module.forward`.
        elastic: kinds of dimensions that are offered beside widths, heads and depth: "stream" (widths of residual
            sums), "head_size", "kernel" (crops of convolutions of 5 × 5 and more, meant to be trained) and
            "bits" (of weights: 4, 8 or 32).
        resolutions: heights and widths of the picture that are offered, in pixels; without, it has that of the example.
        widths: shares of full lengths that widths and numbers of heads are offered in, beside the whole.
        output: which output counts where the model returns several: a key, an attribute or a place. What else it
            returns may change with the subnet.
        prove: whether sliced and masked networks are compared; a dimension that fails becomes fixed.
        seed: of the keep-sets that the proof tries.
        name: of the search space; the module's class by default.

    Returns:
        The family, its weights and the report.

    Raises:
        UsageError: the model cannot be exported, has no output that is one tensor, or takes no such inputs or sizes.
    """
    kinds = (elastic,) if isinstance(elastic, str) else tuple(elastic)
    if unknown := [kind for kind in kinds if kind not in _OFFERED]:
        raise UsageError(
            f"elastic is {unknown[0]!r}, but may be {' or '.join(map(repr, _OFFERED))}; give such"
        )
    _check(module)
    if wrong := [share for share in widths if not 0 < share <= 1]:
        raise UsageError(
            f"widths has {wrong[0]}, but shares above 0 and up to 1 are expected, such as 0.5; give such"
        )
    clock = _Clock()
    network = Network(module, output, input_names(module, len(example_inputs)))
    sizes = Resolutions(network, example_inputs, resolutions) if resolutions else None
    traced = trace(network, example_inputs)
    clock.stop("export")
    labels = label(traced)
    dimensions = Dimensions(labels, kinds, lambda units, unit: lengths_of(units, unit, widths))
    blocks = residual_blocks(labels)
    clock.stop("labels")
    proof = prove_axes(labels, dimensions, network, traced.examples, seed) if prove else None
    clock.stop("proof")
    maker = _Maker(labels, dimensions, blocks, network, name or type(module).__name__, output, seed, sizes)
    draft, family, note = maker.make()
    clock.stop("modules")
    if sizes is not None:
        offered = sizes.offered(family.specification, labels)
        family = DerivedFamily(offered, maker.template)
        clock.stop("resolutions")
    state = draft.state(family.template and family.template.state_dict().keys())
    if "bits" in kinds:
        family = offer_bits(family, (*BITS, FULL))
    return Derivation(family, state, draft.report(family, proof, note, clock.seconds))


def _check(module: nn.Module) -> None:
    what = type(module).__name__
    check_module(module, what)
    if any(each.training for each in module.modules()):
        raise UsageError(f"{what} is in training mode; call its eval() first")
    if not any(True for _ in module.parameters()):
        raise UsageError(f"{what} has no parameters, so there is nothing to choose; give a model that has")


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self._last, self.seconds = time.perf_counter(), {}

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


class _Maker:
    """Makes the family: of the model's own modules where these compute what the graph does, else of the graph."""

    def __init__(
        self,
        labels: Labels,
        dimensions: Dimensions,
        blocks: Sequence[Block],
        network: Network,
        name: str,
        output: str | int | None,
        seed: int,
        sizes: Resolutions | None,
    ) -> None:
        self._labels, self._dimensions, self._blocks = labels, dimensions, list(blocks)
        self._network, self._name, self._output, self._seed = network, name, output, seed
        self._sizes = sizes
        self.template = Template.of(network.model, output, labels.trace.input_names)
        self._tied: set[str] = set()
        self._without: set[str] = set()

    def make(self) -> tuple[Draft, DerivedFamily, str]:
        """Return the draft and its family, and a sentence why it is the graph's; empty if it is not."""
        while True:
            draft = Draft(
                self._labels, self._dimensions, self._blocks, self._network, self._name, self._output
            )
            if not draft.of_modules.dimensions:
                raise UsageError(_nothing(self._name, draft))
            agreement = Agreement(draft.program, self._labels.trace, self._seed)
            family, failing = family_of_modules(
                draft, agreement, self.template, self._network, self._labels, self._dimensions
            )
            if not failing and self._sizes is not None:
                failing = self._sizes.failing(family, self._labels, self._dimensions)
            if not failing:
                return draft, family, ""
            if self._tie(failing, family, agreement):
                continue
            if self._sizes is None and _reach(family, failing) < ENOUGH:
                return draft, DerivedFamily(draft.of_graph), _sentence(failing)
            self._fix(failing)

    def _tie(self, failing: Mapping[str, str], family: DerivedFamily, agreement: Agreement) -> bool:
        """Have lengths of one module that only fail apart be one dimension: halves that the code cuts in the middle.

        Returns whether there are any that were not tried yet.
        """
        groups: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        for name, found in self._dimensions.offered():
            if name in failing:
                place = ".".join(name.split(".")[:2])
                groups[place, found.kind, len(found.atoms)].append(name)
        atoms = {name: np.array(found.atoms)[:, None] for name, found in self._dimensions.offered()}
        several = [names for names in groups.values() if len(names) > 1 and not self._tied.issuperset(names)]
        new = [names for names in several if not agreement.difference(family, short(family, names))]
        for first, *others in new:
            for other in others:
                self._labels.conditions.unify(atoms[first], atoms[other], "is tied by the model's code")
            self._tied |= {first, *others}
        self._dimensions.settle()
        return bool(new)

    def _fix(self, failing: Mapping[str, str]) -> None:
        """Offer no longer what the model's code cannot follow."""
        if failed := {block.path for block in self._blocks if block.dimension in failing}:
            self._without |= failed
            self._blocks = residual_blocks(self._labels, self._without)
        for name in failing.keys() & {*self._dimensions.names}:
            self._dimensions.fix(name, f"is tied to another length by the model's code: {failing[name]}")
        for name in failing.keys() & {*self._dimensions.kernels}:
            self._dimensions.fix(name, f"cannot be smaller by the model's code: {failing[name]}")
        self._dimensions.settle()


def _reach(family: DerivedFamily, failing: Mapping[str, str]) -> float:
    """Return the share of the range of MACs, of all blocks, that is left without some dimensions."""
    space = family.space
    largest = dict(space.largest())
    smallest = {n: space[n].choices[-1 if n in family.specification.blocks else 0] for n in space.names}
    rest = {n: largest[n] if n in failing else choice for n, choice in smallest.items()}
    macs = family.part_costs(space.codes([space.subnet(c) for c in (largest, smallest, rest)])).sum(1)[:, 0]
    return float((macs[0] - macs[2]) / max(1, macs[0] - macs[1]))


def _sentence(failing: Mapping[str, str]) -> str:
    name, seen = next(iter(failing.items()))
    several = f" and {len(failing) - 1} more dimensions" if len(failing) > 1 else ""
    return (
        f"the model's own modules cannot follow {name}{several} ({seen}), so subnets are made of the exported graph: "
        "they compute the same, but dropout and the model's classes are gone"
    )


def _nothing(name: str, draft: Draft) -> str:
    reasons = sorted({f"{each.where[0]} {each.reason}" for each in draft.fixed()})
    return f"nothing of {name} can be made smaller ({'; '.join(reasons[:3])}); give elastic='stream', or another model"
