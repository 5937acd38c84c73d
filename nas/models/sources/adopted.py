"""The family "derived": subnets of a network from elsewhere, made again from its specification without tracing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.derive import Derivation, DerivedFamily
from nas.elastic import offer_bits
from nas.errors import UsageError
from nas.models import sources
from nas.models.sources import SourceNetwork


def derived_family(
    specification: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
    task: str = "classification",
    classes: int | None = None,
) -> DerivedFamily:
    """Make the family of an adopted network again.

    Args:
        specification: What was derived (`nas.derive`).
        source: The recipe of the network's modules (`nas.models.sources`); None where subnets are made of the graph.
        task: Of the family.
        classes: Not offered: a network that was adopted has its own.

    Raises:
        UsageError: Classes are given, as by a training from labels.
        NasError: The library that has the modules is not installed, or the file that made them has changed.
    """
    if classes is not None:
        raise UsageError(
            "an adopted network keeps its own classes; train its subnets beside it, as in nas train --recipe distil"
        )
    is_graph = specification.get("program") is not None
    template = None if is_graph or source is None else sources.template(source)
    return DerivedFamily(specification, template, options={"source": source, "task": task}, task=task)


def adopted_family(network: SourceNetwork, derivation: Derivation, task: str) -> DerivedFamily:
    """Return a derived family whose options make it again from the network's recipe."""
    own: Mapping[str, Any] = derivation.family.options
    template = None if derivation.report.built_from == "graph" else network.module
    options = {"source": network.recipe, "task": task}
    family = DerivedFamily(own["specification"], template, options=options, task=task)
    return offer_bits(family, own["bits"]) if "bits" in own else family
