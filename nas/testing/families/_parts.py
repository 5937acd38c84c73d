"""What the core takes for granted of a family's parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nas.elastic import Supernet
from nas.testing.families._case import Extracted, some_subnets

_PLAIN = (int, float, str, bool, tuple, type(None))


def _description(module: nn.Module) -> dict[str, Any]:
    """Everything that decides what a module computes, but its values: types, plain attributes, shapes."""
    found: dict[str, Any] = {}
    for name, layer in module.named_modules():
        attributes = {key: value for key, value in vars(layer).items() if isinstance(value, _PLAIN)}
        found[name] = (type(layer).__name__, attributes)
    return found | {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


class Parts:
    """What the core takes for granted of a family's parts."""

    def test_equal_keys_give_equal_modules(self, supernet: Supernet) -> None:
        space, rng = supernet.space, np.random.default_rng(0)
        known: dict[tuple[Any, ...], dict[str, Any]] = {}
        met_again = 0
        for subnet in [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(12))]:
            for part in supernet.family.parts:
                if part.is_active(subnet):
                    key = (part.name, part.key(subnet))
                    with torch.device("meta"):
                        description = _description(part.build(subnet))
                    met_again += key in known
                    assert known.setdefault(key, description) == description
        assert met_again

    def test_each_tensor_of_the_largest_network_belongs_to_a_part(self, supernet: Supernet) -> None:
        names = supernet.network.state_dict().keys()
        for name in names:
            assert any(name.startswith(f"{part.name}.") for part in supernet.family.parts), (
                f"{name} belongs to none"
            )
        assert len({part.name for part in supernet.family.parts}) == len(supernet.family.parts)
        for part in supernet.family.parts:
            assert {f"{part.name}.{name}" for name in (*part.layouts, *part.matrices)} <= names

    def test_layouts_describe_the_largest_network(self, supernet: Supernet) -> None:
        largest, state = supernet.space.largest(), supernet.network.state_dict()
        for part in supernet.family.parts:
            for name, layout in part.layouts.items():
                full = state[f"{part.name}.{name}"]
                assert tuple(axis.length(largest) for axis in layout.axes) == tuple(full.shape)
                assert layout.cuts(largest, largest) == ()

    def test_names_of_a_subnet_are_names_of_the_largest(
        self, supernet: Supernet, extracted: Extracted
    ) -> None:
        names = supernet.network.state_dict().keys()
        for subnet in some_subnets(supernet.family):
            assert extracted(subnet).state_dict().keys() <= names

    def test_parts_read_dimensions_of_the_space(self, supernet: Supernet) -> None:
        space = supernet.space
        read = {name for part in supernet.family.parts for name in part.dimensions}
        conditions = {part.active_if[0] for part in supernet.family.parts if part.active_if}
        family = supernet.family
        everything = read | conditions | set(family.input_dimensions) | set(family.pass_dimensions)
        assert everything == set(space.names), (
            "a dimension that nothing reads makes different subnets of one network"
        )
