"""The table of rules, by the operation's name without overload and trailing underscore."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from nas.derive.labels.labels import Tables
from nas.derive.labels.trace import name_of

Rule = Callable[..., Tables | None]
"""Takes the labels, the node and the node's arguments; returns the tables of the result, or None if it cannot say."""
_RULES: dict[str, Rule] = {}
POINTWISE = "pointwise"
"""Where the rule of operations stands that torch itself tags as element-wise."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of operations."""

    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


def rules() -> Mapping[str, Rule]:
    """Return every rule by the operation's name."""
    return MappingProxyType(_RULES)


def find_rule(node: fx.Node) -> Rule | None:
    """Return the rule of a node's operation, None if there is none."""
    target: Any = node.target
    if (found := _RULES.get(name_of(node))) is not None:
        return found
    return _RULES[POINTWISE] if torch.Tag.pointwise in getattr(target, "tags", ()) else None
