"""What a derivation tells: dimensions, what stays fixed and why, what is normalised anew, costs, the proof."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nas.space import Choice


@dataclass(frozen=True)
class DerivedDimension:
    """One dimension of a derived space.

    Attributes:
        name: of the dimension, from the path of the first module whose weight has it, such as "blocks.0.mlp.fc1.width".
        kind: "width", "heads", "depth", "stream" (the width of a residual sum), "head_size", "kernel", "resolution" or
            "bits".
        length: entries of the largest network; 1 for a block that may be left out, pixels of a kernel or a resolution.
        unit: how many entries of a tensor's axis go with one of them: the head size of heads, 1 of a width.
        choices: lengths that are offered, ascending; for depth False and True.
        where: axes that it decides, such as "blocks.0.mlp.fc1.weight[0]".
        renormalised: operations that take a mean or a norm over it, so that a subnet differs from a masked network
            until it is trained or calibrated; empty for most.
    """

    name: str
    kind: str
    length: int
    unit: int
    choices: tuple[Choice, ...]
    where: tuple[str, ...]
    renormalised: tuple[str, ...] = ()


@dataclass(frozen=True)
class FixedAxis:
    """Axes that are of one length in every subnet: where (such as "fc.weight[0]"), how long, and why."""

    where: tuple[str, ...]
    length: int
    reason: str


@dataclass(frozen=True)
class Proof:
    """Sliced against masked networks in double precision.

    Attributes:
        error: largest difference, over all choices that were tried, as a share of the largest output.
        moved: smallest difference between masked and full network; a proof that moves nothing is empty.
        graph_error: difference between the module and its exported graph at full size.
        trials: how many choices were compared: random, prefix and mixed keep-sets.
        refuted: dimensions that failed and are fixed since, with what was seen.
    """

    error: float
    moved: float
    graph_error: float
    trials: int
    refuted: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Report:
    """What is known of a derived family.

    Attributes:
        dimensions: what may be chosen.
        fixed: axes of parameters that stay, grouped by their reason.
        macs: multiply-accumulates of one input for the smallest and the largest subnet.
        params: parameters of both.
        built_from: "modules", the model's own classes told their new sizes, or "graph", the exported graph.
        note: one sentence why the graph is used; empty for modules.
        without_rule: operations that no rule covers, with how often each was met: all that they read stays fixed.
        proof: None where it was not asked for.
        seconds: of each stage: "export", "labels", "proof", "modules", "resolutions".
    """

    dimensions: tuple[DerivedDimension, ...]
    fixed: tuple[FixedAxis, ...]
    macs: tuple[int, int]
    params: tuple[int, int]
    built_from: str
    note: str
    without_rule: dict[str, int]
    proof: Proof | None
    seconds: dict[str, float]

    @property
    def renormalised(self) -> tuple[DerivedDimension, ...]:
        """Dimensions over which something is normalised: train or calibrate their subnets."""
        return tuple(dimension for dimension in self.dimensions if dimension.renormalised)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)
