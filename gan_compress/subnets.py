"""Which generator and which of its subnets words mean, and how long these take beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nas.api.figures import load_supernet, read_subnet
from nas.api.targets import NAMED_SUBNETS, Target, find_target
from nas.errors import UsageError
from nas.export import Latency, Network, measure_networks
from nas.latency import Workload, chosen_runtime
from nas.models import Model
from nas.progress import Listener, as_progress
from nas.space import Subnet

AnyModel = Model | str | Path | None
"""A generator, its name or folder; None for the one that the first subnet belongs to, or the default."""


@dataclass(frozen=True)
class SubnetWords:
    """The words of one kind of generator for its subnets, beside those that all models know.

    Attributes:
        default: The model where nothing names one.
        example: What a word may look like, for readers.
        matches: Whether a word is one of this kind.
        find: The subnet of such a word; raises `UsageError` where the model has none.
        require: Raises `UsageError` for a model of another kind.
    """

    default: str
    example: str
    matches: Callable[[str], bool]
    find: Callable[[Model, str], Subnet]
    require: Callable[[Model], object]

    def open(self, model: AnyModel, subnets: Sequence[str]) -> tuple[Model, dict[str, Subnet]]:
        """Return the generator (`model`, or the one that a run or file among `subnets` belongs to) and its subnets.

        Raises:
            UsageError: A model of another kind, a subnet that it does not have.
        """
        targets = {text: self._target(text) for text in subnets if not self.matches(text)}
        if not isinstance(model, Model):
            named = [target for target in targets.values() if target.path is not None]
            place = None if model is None else str(model)
            model = load_supernet(named[0] if named else Target("largest", "subnet"), place, self.default)
        self.require(model)
        return model, {
            text: read_subnet(targets[text], model) if text in targets else self.find(model, text)
            for text in subnets
        }

    def _target(self, text: str) -> Target:
        if text not in NAMED_SUBNETS and not Path(text).exists():
            raise UsageError(
                f"there is no subnet {text!r}; give 'largest', 'smallest', {self.example}, a run folder or a "
                "subnet.json"
            )
        target = find_target(text)
        if target.kind == "model":
            raise UsageError(f"{text} is a model and no subnet; name it with --model")
        return target


def measure_latencies(
    model: Model,
    networks: Mapping[str, nn.Module],
    subnets: Mapping[str, Subnet],
    *,
    runtime: str | None = None,
    threads: int = 1,
    progress: Listener | None = None,
) -> dict[str, Latency]:
    """Return the latency of one image by each of the extracted `networks`, measured in turns in a process of its own.

    Args:
        model: Whose subnets they are.
        networks: By name.
        subnets: Their choices, by the same names.
        runtime: What measures; None for this machine's default.
        threads: That run a network.
        progress: Hears how many are measured.
    """
    measured = {name: Network(network, model.family, subnets[name]) for name, network in networks.items()}
    steps = as_progress(progress).steps("measuring")
    return measure_networks(measured, chosen_runtime(runtime), Workload(1, threads), steps)
