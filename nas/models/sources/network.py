"""What a network from elsewhere is known by, and the interface of libraries that have networks.

Packages register libraries under the entry point group "anyfit.networks".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas import elastic, models

if TYPE_CHECKING:
    from torch import nn

RANDOM = "random"
"""What weights are called that nobody trained."""


@dataclass(frozen=True)
class Request:
    """What the user says of a network beside its name.

    Attributes:
        weights: A file, "package:NAME" for that of an installed package, or "random" for a network that
            only latency is asked of; None for those that are published.
        inputs: Shapes such as "1x3x224x224", by the name of the argument, or under "" for the only one.
        output: Which output counts where there are several: a key, an attribute or a place.
    """

    weights: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    output: str | int | None = None


@dataclass(frozen=True)
class SourceNetwork:
    """A network from elsewhere, in evaluation mode, on the processor, in single precision.

    Attributes:
        name: What to call it, such as "resnet18.a1_in1k".
        module: The network.
        example: Inputs that it takes, a batch.
        recipe: JSON from which its source makes the same module anew, without weights; None where nothing can.
        preprocessing: What becomes of pictures; None where it takes none, or nobody says.
        classes: Names in the order of its outputs; empty where nobody says.
        licence: Of the weights, "" where nobody says.
        weights: Where they are from, for readers.
        output: Which output counts where there are several; None for the only one.
    """

    name: str
    module: nn.Module
    example: elastic.Inputs
    recipe: Mapping[str, Any] | None = None
    preprocessing: models.Preprocessing | None = None
    classes: tuple[str, ...] = ()
    licence: str = ""
    weights: str = "as given"
    output: str | int | None = None


class NetworkSource(ABC):
    """A library that has networks, such as timm.

    Life cycle: registered in the entry point group "anyfit.networks" under the KIND of "KIND:PLACE" and made without
    arguments. Its module imports the library no sooner than a method is called.
    """

    @abstractmethod
    def open(self, place: str, request: Request) -> SourceNetwork:
        """Make a network with its weights.

        Args:
            place: What stands behind the colon.
            request: What the user says beside.

        Raises:
            UsageError: There is none of that name, or something has to be said of it; in one sentence.
            NasError: Its weights cannot be had, or do not fit.
        """

    @abstractmethod
    def template(self, recipe: Mapping[str, Any]) -> nn.Module:
        """Make the module of a network's recipe anew, on torch's current default device, with weights of no matter."""
