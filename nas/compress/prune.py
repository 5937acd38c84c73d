"""Pruning: a smaller network out of a large one, within a limit, by what costs least for what it saves.

What the entries of elastic axes are worth is found by an `Importance`; entries of networks that were never trained as
supernets are sorted by it. What each choice costs is measured against the full network's output (`sensitivity`), and
between measured choices shared out by importance. Then the network is cut down, change by change, the one with the
least cost for what it saves first (`greedy`). Which way is faster on this machine is not asked: a search asks that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from nas.compress.costs import costs_of, wanted_rows
from nas.compress.greedy import fit, read_limit
from nas.compress.importance import Example, Importance
from nas.compress.sensitivity import Sensitivity, sensitivity
from nas.elastic import Counts, Family, Inputs, Supernet, find_subnet
from nas.errors import UsageError
from nas.space import Subnet

Progress = Callable[[str, int, int], None]
"""Hears what is done, and how much of how much."""


def silent(what: str, done: int, count: int) -> None:
    """Hear of progress, and say nothing."""


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What is to be made of a network.

    Attributes:
        subnet: a name, JSON, a file or a pruned folder (see `nas.elastic.find_subnet`); None where limits decide.
        macs, params: "60%" of the full network's, or a number such as "2M": at most so many.
        table: measure every choice of every dimension, not only those that are needed.
        samples: examples that importance is measured on, at least 1.
        seed: of everything that is drawn.

    Raises:
        UsageError: a subnet and a limit, neither of both and no table, or no samples.
    """

    subnet: str | None = None
    macs: str | None = None
    params: str | None = None
    table: bool = False
    samples: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.subnet is not None and self.is_limited:
            raise UsageError("a subnet and a limit were both given; give --subnet, or --macs and --params")
        if not self.cuts and not self.table:
            raise UsageError(
                "nothing says how small; give --subnet, --macs or --params, or ask for --sensitivity"
            )
        if self.samples < 1:
            raise UsageError(f"samples is {self.samples}; give at least 1")

    @property
    def is_limited(self) -> bool:
        """Whether a limit decides."""
        return self.macs is not None or self.params is not None

    @property
    def cuts(self) -> bool:
        """Whether anything is cut, not only measured."""
        return self.subnet is not None or self.is_limited


@dataclass(frozen=True)
class Cut:
    """What pruning decided.

    Attributes:
        subnet: what is kept; None where only the sensitivity was asked for.
        before, after: counts of one pass of the full network and of what is kept.
        rows: the sensitivity of every choice that was measured, most harmful first.
        importance: the name of what sorted or weighed entries; "" where nothing had to.
    """

    subnet: Subnet | None
    before: Counts
    after: Counts
    rows: list[Sensitivity] = field(default_factory=list)
    importance: str = ""


def decide(
    supernet: Supernet,
    config: PruneConfig,
    importance: Importance,
    examples: Callable[[], Sequence[Example]],
    *,
    keeps_order: bool,
    batches: Callable[[Sequence[Example]], Sequence[Inputs]] = lambda found: [x for x, _ in found],
    network: Callable[[Subnet], Callable[[Inputs], Tensor]] | None = None,
    find: Callable[[Family, str], Subnet] = find_subnet,
    progress: Progress = silent,
) -> Cut:
    """Decide what of a supernet is kept; the supernet's entries are sorted, its weights otherwise stay as they are.

    Args:
        supernet: the largest network, the only one that has to be good.
        config: the subnet or the limits.
        importance: what entries are worth.
        examples: (inputs, target) of the largest network, asked for only where something is measured.
        keeps_order: whether entries keep the order that they have: of a supernet whose subnets were trained.
        batches: what sensitivity is measured on; by default the inputs of the examples.
        network: makes what computes a subnet, where the supernet alone does not (see `sensitivity`).
        find: reads the configuration's subnet, where there are more ways to name one.
        progress: hears the stages "importance" and "sensitivity".

    Raises:
        UsageError: for a subnet or limit that makes no sense, and a network that is within its limits already.
        InfeasibleError: for a limit below the smallest subnet.
    """
    family, space = supernet.family, supernet.space
    before = supernet.count(space.largest())
    limits = _limits(config, before)
    subnet = None if config.subnet is None else find(family, config.subnet)
    is_sorted = not keeps_order and subnet is not None and cuts_entries(family, subnet)
    if not (config.table or limits or is_sorted):
        return Cut(subnet, before, before if subnet is None else supernet.count(subnet))
    progress("importance", 0, 1)
    found = examples()
    scores = _sorted(supernet, importance, found, keeps_order)
    rows = []
    if config.table or limits:
        rows = sensitivity(
            supernet,
            batches(found),
            progress=lambda done, count: progress("sensitivity", done, count),
            changes=None if config.table else wanted_rows(family, scores),
            network=network,
        )
    if limits:
        subnet = fit(supernet, costs_of(space, scores, rows), limits)
    after = before if subnet is None else supernet.count(subnet)
    return Cut(subnet, before, after, rows if config.table else [], importance.name)


def _limits(config: PruneConfig, before: Counts) -> dict[str, int]:
    """Return the limits as numbers."""
    given = (("macs", config.macs, before.macs), ("params", config.params, before.params))
    limits = {kind: read_limit(kind, text, full) for kind, text, full in given if text is not None}
    for kind, most in limits.items():
        if getattr(before, kind) <= most:
            raise UsageError(f"the network is within --{kind} {getattr(config, kind)} already; ask for less")
    return limits


def _sorted(
    supernet: Supernet, importance: Importance, examples: Sequence[Example], keeps_order: bool
) -> Mapping[str, Tensor]:
    """Return the scores of the entries as they stand in the end: the most important first, or where they were."""
    scores = importance(supernet, examples)
    if keeps_order:
        return scores
    supernet.sort_channels(scores)
    return {name: values.sort(descending=True).values for name, values in scores.items()}


def cuts_entries(family: Family, subnet: Subnet) -> bool:
    """Whether the subnet keeps some of the entries of an axis, so that their order matters."""
    axes = family.axis_dimensions
    return any(name in axes and choice != family.space[name].choices[-1] for name, choice in subnet.items())
