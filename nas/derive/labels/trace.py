"""The exported graph of a module: every operation, static sizes, single precision."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import fx, nn

from nas.errors import UsageError

Cache = tuple[nn.Module, str]
"""A dictionary of tensors: the module that has it, and the attribute."""


class Network(nn.Module):
    """A model as a function of tensors to one tensor: the largest network of its derived family.

    Its forward has the arguments `inputs`, those of the model's that are given, so that exporters can name them.

    Attributes:
        model: what the user brought, its tensors under the names that they have there.
        caches: what its modules keep of their parameters, once the network is traced.
    """

    def __init__(self, model: nn.Module, output: str | int | None = None, inputs: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self._output = output
        self.caches: list[Cache] = []
        self.__class__: type[Network] = _taking(tuple(inputs)) if inputs else Network  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        """Run the model and return the output that counts."""
        return chosen_output(self.model(*args, **kwargs), self._output)


@cache
def _taking(names: tuple[str, ...]) -> type[Network]:
    """Return a subclass of `Network` whose forward says which arguments it has."""

    def forward(self: Network, *args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        return Network.forward(self, *args, **kwargs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *names)]
    forward.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return type("Network", (Network,), {"forward": forward, "__module__": __name__})


def chosen_output(value: Any, output: str | int | None) -> torch.Tensor:
    """Return the one tensor of a model's output that is meant; raises `UsageError` where that is not clear."""
    if output is not None:
        try:
            value = (
                value[output]
                if isinstance(output, int) or isinstance(value, Mapping)
                else getattr(value, output)
            )
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise UsageError(
                f"the model's output is a {type(value).__name__} without {output!r}; give the key or place of a tensor"
            ) from error
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        known = f"one of {', '.join(map(repr, value))}"
    elif isinstance(value, tuple | list):
        known = f"a place from 0 to {len(value) - 1}"
    else:
        known = "the name of an attribute"
    raise UsageError(
        f"the model returns a {type(value).__name__}, but one tensor is searched for; say which output counts: {known}"
    )


def input_names(module: nn.Module, count: int) -> list[str]:
    """Return the names of the first `count` arguments of a module's forward."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [p.name for p in inspect.signature(module.forward).parameters.values() if p.kind in kinds]
    if len(named) < count:
        raise UsageError(
            f"{type(module).__name__}.forward takes {len(named)} inputs by place, but {count} example inputs are "
            "given; give one for each argument that it needs"
        )
    return named[:count]


@dataclass
class Trace:
    """An exported graph with what its placeholders stand for.

    Attributes:
        graph: its nodes; wrappers such as autocast are inlined.
        names: the tensor's name in the network, by placeholder or `get_attr` node.
        inputs: placeholders of the network's inputs, in order.
        input_names: what the model's forward calls them.
        examples: their values, with the batch that was traced.
        output: the node whose value is returned.
        state: every tensor by name: parameters, buffers and constants.
        parameters: names of parameters.
        same: for each name the name under which a tensor that has several is followed: tied weights.
        batch: the length of the batch axis that was traced; 0 if the first axes of the inputs are not followed.
    """

    graph: fx.Graph
    names: dict[fx.Node, str]
    inputs: list[fx.Node]
    input_names: list[str]
    examples: tuple[torch.Tensor, ...]
    output: fx.Node
    state: dict[str, torch.Tensor]
    parameters: set[str]
    same: dict[str, str]
    batch: int


def trace(network: Network, args: tuple[torch.Tensor, ...]) -> Trace:
    """Export a network in evaluation mode; raises `UsageError` with the exporter's reason where it refuses."""
    args, batch = _with_batch(network, args)
    network.caches = caches(network, args)
    forget(network)
    try:
        program = torch.export.export(network, args, strict=False)
    except Exception as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise UsageError(
            f"{type(network.model).__name__} cannot be exported ({type(error).__name__}: "
            f"{lines[0] if lines else 'no reason given'}); make its forward free of branches on values"
        ) from error
    finally:
        forget(network)
    graph_module = program.graph_module
    _inline(graph_module)
    graph, signature = graph_module.graph, program.graph_signature
    targets = {spec.arg.name: spec.target for spec in signature.input_specs if spec.target is not None}
    user = {spec.arg.name for spec in signature.input_specs if spec.kind.name == "USER_INPUT"}
    state: dict[str, torch.Tensor] = {**program.state_dict}
    state |= {name: t for name, t in program.constants.items() if isinstance(t, torch.Tensor)}
    names: dict[fx.Node, str] = {}
    inputs: list[fx.Node] = []
    for node in graph.nodes:
        if node.op == "placeholder" and node.name in targets:
            names[node] = targets[node.name]
        elif (
            node.op == "placeholder" and node.name in user and isinstance(node.meta.get("val"), torch.Tensor)
        ):
            inputs.append(node)
        elif node.op == "get_attr":
            tensor = getattr(graph_module, str(node.target))
            if isinstance(tensor, torch.Tensor):
                names[node] = f"constant.{node.target}"
                state[names[node]] = tensor
    (output,) = [node for node in graph.nodes if node.op == "output"]
    returned = dict(zip((spec.arg.name for spec in signature.output_specs), output.args[0], strict=True))
    wanted = next(spec.arg.name for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT")
    if not isinstance(returned[wanted], fx.Node):
        raise UsageError(
            f"the output of {type(network.model).__name__} does not depend on its input; give another"
        )
    parameters = dict(network.named_parameters(remove_duplicate=False))
    tensors = parameters | dict(network.named_buffers(remove_duplicate=False))
    first: dict[int, str] = {}
    same = {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}
    called = input_names(network.model, len(args))
    return Trace(graph, names, inputs, called, args, returned[wanted], state, {*parameters}, same, batch)


def _with_batch(network: Network, args: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], int]:
    """Return the inputs with a batch of two, so that its axis can be followed; as they are where that does not run."""
    count = len(args[0]) if args and args[0].ndim else 0
    if count:
        two = tuple(torch.cat([x, x])[:2].clone() if x.ndim and len(x) == count else x for x in args)
        try:
            with torch.no_grad():
                if len(network(*two)) == 2:
                    return two, 2
        except UsageError:
            raise
        except (
            Exception
        ):  # the model takes this batch alone; its error with the inputs as given is the exporter's
            pass
    return args, 0


def caches(network: nn.Module, args: tuple[torch.Tensor, ...]) -> list[Cache]:
    """Return the dictionaries in which modules keep, beside parameters and buffers, what they compute of these.

    Code fills them in evaluation mode, such as with biases by position, and would go on with them after the parameters
    have changed. One that is full is emptied and the network run: what does not come back is a constant, and put back.
    """
    held: dict[object, list[Cache]] = defaultdict(list)
    for module in network.modules():
        for name, value in vars(module).items():
            is_held = type(value) is dict and all(isinstance(each, torch.Tensor) for each in value.values())
            if is_held and not name.startswith("_"):
                held[type(module), name].append((module, name))
    return [each for alike in held.values() if _come_back(alike, network, args) for each in alike]


def _come_back(held: list[Cache], network: nn.Module, args: tuple[torch.Tensor, ...]) -> bool:
    """Whether a run fills dictionaries again, if they were; else they are as they were."""
    before = [dict(vars(module)[name]) for module, name in held]
    if not any(before):
        return True
    _empty(held)
    try:
        with torch.no_grad():
            network(*args)
        if all(vars(m)[name].keys() >= old.keys() for (m, name), old in zip(held, before, strict=True)):
            return True
    except Exception:  # they are needed
        pass
    for (module, name), old in zip(held, before, strict=True):
        vars(module)[name].update(old)
    return False


def _empty(held: list[Cache]) -> None:
    for module, name in held:
        vars(module)[name].clear()


def forget(network: nn.Module) -> None:
    """Empty what the modules of a traced network have kept of its parameters."""
    _empty(getattr(network, "caches", []))


def _inline(graph_module: fx.GraphModule) -> None:
    """Put the bodies of wrappers (autocast, set_grad_enabled) into the graph itself."""
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.op != "call_function" or not str(node.target).startswith("wrap_with"):
            continue
        at = next(i for i, arg in enumerate(node.args) if isinstance(arg, fx.Node) and arg.op == "get_attr")
        body = getattr(graph_module, node.args[at].target)
        _inline(body)
        inner = [each for each in body.graph.nodes if each.op == "placeholder"]
        values = dict(zip(inner, node.args[at + 1 :], strict=True))
        outputs: Any = ()
        with graph.inserting_before(node):
            for each in body.graph.nodes:
                if each.op == "output":
                    outputs = each.args[0] if isinstance(each.args[0], tuple | list) else [each.args[0]]
                elif each.op != "placeholder":
                    values[each] = graph.node_copy(each, lambda a, values=values: values[a])
        for used in list(node.users):
            used.replace_all_uses_with(values[outputs[used.args[1]]])
            graph.erase_node(used)
        graph.erase_node(node)


def name_of(node: fx.Node) -> str:
    """Return the name of an operation without overload and the underscore of in-place variants; "" for none."""
    if node.op != "call_function":
        return ""
    target: Any = node.target
    name = target._schema.name.split("::")[1] if hasattr(target, "_schema") else target.__name__
    return name if name.startswith("_") else name.rstrip("_")


def path_of(node: fx.Node) -> str:
    """Return the path of the module whose forward ran the operation."""
    stack = node.meta.get("nn_module_stack")
    return [*stack.values()][-1][0].split("@")[0] if stack else ""


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """Return the arguments by the schema's names; those left out are missing."""
    names = [argument.name for argument in node.target._schema.arguments]  # pyright: ignore
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
