"""What each operation does to labels: one rule an operation, in files by kind of operation."""

from nas.derive.labels.rules import (
    attention,
    convolution,
    creation,
    elementwise,
    indexing,
    joining,
    linear,
    normalisation,
    pooling,
    shape,
)
from nas.derive.labels.rules.registry import Rule, find_rule, rule, rules

__all__ = [
    "Rule",
    "attention",
    "convolution",
    "creation",
    "elementwise",
    "find_rule",
    "indexing",
    "joining",
    "linear",
    "normalisation",
    "pooling",
    "rule",
    "rules",
    "shape",
]
