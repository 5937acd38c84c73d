"""The models of a zoo as they are published: accuracy, input size, licence, and counts of what they compute."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import NasError, UsageError

if TYPE_CHECKING:
    from torch import nn

FACTS = Path(__file__).with_name("timm.parquet")
"""The shipped table of timm's models; `tests/benchmarks/make_zoo_facts.py` makes it."""
QUALITIES = ("top1", "top5")
COUNTS = (
    "params",
    "macs_dense",  # convolutions of one group
    "macs_pointwise",  # ... whose kernel is a single position
    "macs_grouped",
    "macs_depthwise",
    "macs_linear",
    "macs_attention",  # products of two activations
    "unaligned",  # multiply-accumulates of convolutions whose channels are no multiple of eight
    "out_conv",
    "out_depthwise",
    "out_linear",
    "out_attention",
    "cheap",  # numbers that are added, multiplied, clamped
    "costly",  # ... that go through exp, erf, a root or a division
    "normalized",
    "moved",
    "reduced",
    "ops_conv",
    "ops_matmul",
    "ops_other",
)
"""The counts for one image: parameters, multiply-accumulates, numbers written by kind of operation, operations."""


@dataclass(frozen=True)
class PublishedModel:
    """A model with published weights, at one size of its input.

    Attributes:
        name: As timm has it: "resnet50.a1_in1k".
        image_size: Height and width of the input, in pixels.
        qualities: Published accuracies on ImageNet in percent, by the names of `QUALITIES`.
        license: That of the weights, as timm states it.
        weights: Where they are: a repository of the Hugging Face hub, or an address.
        counts: Parameters and operations for one image, by the names of `COUNTS`.
    """

    name: str
    image_size: int
    qualities: Mapping[str, float]
    license: str
    weights: str
    counts: Mapping[str, int]

    @property
    def program(self) -> str:
        """What is timed: "resnet50@224". Weights decide no latency, so that all that share it take as long."""
        return f"{self.name.partition('.')[0]}@{self.image_size}"

    @property
    def params(self) -> int:
        """Parameters."""
        return self.counts["params"]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(count for name, count in self.counts.items() if name.startswith("macs_"))


@dataclass(frozen=True)
class Zoo:
    """Published models, and how each is built with first weights.

    Attributes:
        name: What it is asked for by.
        models: The models, at every size that an accuracy was published for.
        build: Builds a model.
        references: The programs of a small and a large model that run beside whatever is measured.
    """

    name: str
    models: Sequence[PublishedModel]
    build: Callable[[PublishedModel], nn.Module]
    references: tuple[str, str]

    @cached_property
    def programs(self) -> dict[str, PublishedModel]:
        """The first model of each program, by the program's name."""
        return {model.program: model for model in reversed(self.models)}


def create_timm(name: str, image_size: int) -> nn.Module:
    """Build a model of timm with first weights, for images of a size, as it is deployed.

    Branches that only training needs (RepVGG, MobileOne) are merged, as `timm.utils.reparameterize_model` does.
    """
    import timm
    from timm.models import get_pretrained_cfg
    from timm.utils.model import reparameterize_model

    config = get_pretrained_cfg(name)
    sized: dict[str, Any] = (
        {} if config is None or config.input_size[-1] == image_size else {"img_size": image_size}
    )
    try:
        module = timm.create_model(name, pretrained=False, **sized)
    except TypeError:  # a network that takes images of any size
        module = timm.create_model(name, pretrained=False)
    return reparameterize_model(module.eval(), inplace=True)


def read_facts(path: Path) -> list[PublishedModel]:
    """Read a table of facts; a damaged one raises `NasError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
        return [
            PublishedModel(
                row["model"], row["image_size"], {quality: row[quality] for quality in QUALITIES},
                row["license"], row["weights"], {name: row[name] for name in COUNTS},
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, pa.ArrowException, KeyError) as error:
        raise NasError(f"{path} is no table of published models ({error}); install anyfit again") from error


def open_zoo(name: str) -> Zoo:
    """Return a zoo by name; an unknown one raises `UsageError`, `NasError` where its library is not installed."""
    if name != "timm":
        near = "; did you mean 'timm'?" if difflib.get_close_matches(name, ["timm"]) else "; give timm"
        raise UsageError(f"there is no zoo {name!r}, only timm's published models{near}")
    if find_spec("timm") is None:
        raise NasError("timm is not installed, which builds its published models; pip install timm")
    return Zoo(
        name, read_facts(FACTS), lambda model: create_timm(model.name, model.image_size),
        references=("mobilenetv3_small_100@224", "resnet18@224"),
    )  # fmt: skip


def quality_of(models: Sequence[PublishedModel], quality: str) -> np.ndarray:
    """Return a published accuracy of each model (n,), in percent; an unknown one raises `UsageError`."""
    if quality not in QUALITIES:
        raise UsageError(f"published models have no quality {quality!r}; choose from {', '.join(QUALITIES)}")
    return np.array([model.qualities[quality] for model in models])
