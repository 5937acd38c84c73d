"""Opening a network by what the user types: "KIND:PLACE", "FILE.py:NAME", or a module in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from nas import derive
from nas._extras import missing
from nas.errors import NasError, UsageError
from nas.models import sources
from nas.models.source import FILE, network_kinds, network_place
from nas.models.sources.network import NetworkSource, Request, SourceNetwork

if TYPE_CHECKING:
    from torch import nn

MEMORY = "memory"


@cache
def network_source(kind: str) -> NetworkSource:
    """Return what opens networks of a kind.

    Raises:
        NasError: No installed package has the kind, or it cannot be imported.
    """
    if kind not in network_kinds():
        raise NasError(f"no installed package has networks of kind {kind!r}; install it")
    try:
        return network_kinds()[kind].load()()
    except ImportError as error:
        raise NasError(
            f"the networks of {kind!r} cannot be imported ({error}); install its package again"
        ) from error


def open_network(text: str, request: Request | None = None) -> SourceNetwork:
    """Open a network, in evaluation mode, with its weights and an example; it has run once.

    Args:
        text: "timm:NAME[.TAG]", "torchvision:NAME[.WEIGHTS]", "transformers:FOLDER|ID", "FILE.py:NAME".
        request: Weights, input shapes and output, where the source alone does not say.

    Raises:
        UsageError: There is no such network, or something has to be said of it.
        NasError: Its weights cannot be had, or do not fit.
    """
    request = request or Request()
    found = network_place(text)
    if found is None:
        kinds = ", ".join(f"{kind}:NAME" for kind in network_kinds() if kind != FILE)
        raise UsageError(f"{text!r} names no network; give {kinds}, or FILE.py:NAME")
    kind, place = found
    try:
        network = network_source(kind).open(place, request)
    except ImportError as error:
        if sentence := missing(error):
            raise NasError(f"{text} cannot be opened: {sentence}") from error
        raise
    return sources.checked(replace(network, output=request.output))


def network_of(
    module: object, example: Any, *, name: str = "", output: str | int | None = None
) -> SourceNetwork:
    """Return a module in memory as a network; the module is copied, and not changed.

    Args:
        module: In single precision, on the processor.
        example: What it takes: a tensor, several in a tuple, or by the argument's name in a dictionary; the first
            axis is the batch.
        name: What to call it; "" for its class.
        output: Which output counts where there are several.

    Raises:
        UsageError: It is no module that can be worked with, or does not run on the example.
    """
    known = derive.check_module(module)
    if example is None:
        raise UsageError(
            f"nothing says what {type(known).__name__} takes; give an example, such as "
            "nas.load(model, torch.randn(1, 3, 224, 224))"
        )
    own = sources.copied(known)
    return sources.checked(
        SourceNetwork(name or type(known).__name__, own, sources.named(own, example), output=output)
    )


_REMEMBERED: dict[str, nn.Module] = {}


def remember(network: SourceNetwork) -> SourceNetwork:
    """Return a network whose module `template` finds again as long as this process lives."""
    key = f"{network.name}-{sources.weights_digest(network.module)[:8]}"
    _REMEMBERED[key] = network.module
    return replace(network, recipe={"kind": MEMORY, "key": key})


def template(recipe: Mapping[str, Any]) -> nn.Module:
    """Make the module of a network's recipe anew, on torch's current default device, with weights of no matter.

    Raises:
        NasError: The library that has it is not installed, or the file has changed.
    """
    if recipe["kind"] != MEMORY:
        return network_source(recipe["kind"]).template(recipe)
    if recipe["key"] not in _REMEMBERED:
        raise NasError(
            f"{recipe['key']} was adopted from a module of another process; put the function that makes it into a file "
            "and adopt FILE.py:FUNCTION, or go on in that process"
        )
    return _REMEMBERED[recipe["key"]]
