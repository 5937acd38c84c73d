"""What a module must be so that a family can be derived of it; what it is not costs one sentence."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nas.derive import check_module
from nas.elastic import Inputs, call, named_inputs
from nas.errors import UsageError, is_out_of_memory
from nas.models.sources.network import SourceNetwork

_SHOWN = 8


def named(module: nn.Module, example: Any) -> Inputs:
    """Return example inputs as one tensor, or several by the names of the arguments of `forward`.

    Args:
        module: What takes them.
        example: A tensor, several in a tuple or list, or by name in a mapping.

    Raises:
        UsageError: Something that is none of these.
    """
    if isinstance(example, Tensor):
        return example
    if isinstance(example, Mapping) and example and all(isinstance(x, Tensor) for x in example.values()):
        return dict(example)
    if (
        not isinstance(example, tuple | list)
        or not example
        or not all(isinstance(x, Tensor) for x in example)
    ):
        raise UsageError(
            f"an example input is a {type(example).__name__}, but a tensor is expected, a tuple of tensors, or a "
            "dictionary of tensors by the argument's name"
        )
    if len(example) == 1:
        return example[0]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [
        each.name for each in inspect.signature(module.forward).parameters.values() if each.kind in kinds
    ]
    if len(names) < len(example):
        raise UsageError(
            f"{len(example)} example inputs are given, but forward names {len(names)}; give a forward with a named "
            "argument for each"
        )
    return dict(zip(names, example, strict=False))


def checked(network: SourceNetwork) -> SourceNetwork:
    """Return a network in evaluation mode that has run on its example, and whose output is known.

    Raises:
        UsageError: It is no plain module, does not run, or has several outputs of which none was chosen.
    """
    module = check_module(network.module, network.name).eval()
    inputs = named_inputs(network.example)
    if any(tensor.device.type != "cpu" for tensor in inputs.values()):
        raise UsageError("the example input is not on the processor; give it there: example.cpu()")
    try:
        with torch.no_grad():
            given = call(module, network.example)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in inputs.items())
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{network.name} does not run on its example ({shapes}): {reason}; give another with --input, such as "
            "1x3x224x224"
        ) from error
    return replace(network, module=module, output=chosen_output(given, network.output, network.name))


def by_place(network: SourceNetwork) -> tuple[Tensor, ...]:
    """Return a network's example inputs in the order of the arguments of `forward`.

    Raises:
        UsageError: Arguments before them have no input.
    """
    if isinstance(network.example, Tensor):
        return (network.example,)
    names = [*inspect.signature(network.module.forward).parameters]
    given = dict(network.example)
    if {*given} != {*names[: len(given)]}:
        raise UsageError(
            f"the inputs of {network.name} are {', '.join(given)}, but its first arguments are "
            f"{', '.join(names[: len(given)])}; give a network whose forward takes the inputs first"
        )
    return tuple(given[name] for name in names[: len(given)])


def copied(module: nn.Module, name: str = "the model") -> nn.Module:
    """Return a copy of a user's module, which nothing changes; raises `UsageError` where it cannot be copied."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{name} cannot be copied ({reason}); give one without tensors of a graph, such as after torch.no_grad()"
        ) from error


# --- outputs ----------------------------------------------------------------------------------------------------------


def chosen_output(given: Any, output: str | int | None, name: str) -> str | int | None:
    """Return which of a network's outputs counts: the one that was named, or the only tensor; None for a tensor.

    Args:
        given: What the network returned.
        output: A key, an attribute, or a place of a tuple; None where the user says nothing.
        name: The network's, for sentences.

    Raises:
        UsageError: Several tensors and no choice, or a choice that there is not; what there is, is listed.
    """
    if isinstance(given, Tensor):
        if output is not None:
            raise UsageError(
                f"{name} gives one tensor, but output {output!r} is asked for; leave --output-key out"
            )
        return None
    found = dict(_outputs(given))
    if not found:
        raise UsageError(
            f"{name} gives a {type(given).__name__} without a tensor of its own; write a function that returns a "
            "network whose forward returns one tensor"
        )
    key = (
        int(output)
        if isinstance(output, str) and output.lstrip("-").isdigit() and output not in found
        else output
    )
    if isinstance(key, int) and key < 0:
        key += len(given)
    if key is None and len(found) == 1:
        key = next(iter(found))
    if key not in found:
        shown = ", ".join(f"{each} {tuple(tensor.shape)}" for each, tensor in [*found.items()][:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        said = f"and {output!r} is none of them" if output is not None else "and one has to count"
        raise UsageError(f"{name} has the outputs {shown}{more}, {said}; name one with --output-key")
    return key


def tensor_of(given: Any, output: str | int | None) -> Tensor:
    """Return the output of a network that `chosen_output` chose."""
    return given if output is None else dict(_outputs(given))[output]


def _outputs(given: Any) -> Iterator[tuple[str | int, Tensor]]:
    """Yield the tensors in what a network returned, by key, attribute or place."""
    if isinstance(given, Mapping):
        pairs: Any = given.items()
    elif isinstance(given, Sequence) and not isinstance(given, str):
        pairs = enumerate(given)
    elif is_dataclass(given) or hasattr(given, "__dict__"):
        pairs = vars(given).items()
    else:
        pairs = ()
    yield from ((key, value) for key, value in pairs if isinstance(value, Tensor))
