"""The proof finds wrong rules: a sliced network that is put together wrongly does not compute what the masked one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas.derive.labels.rules import Rule, rule, rules
from tests.derive.nets import Net, attention, conv, image, lengths, linear, proved, tokens, vector


@contextmanager
def replaced(name: str, wrong: Rule) -> Iterator[None]:
    """Have another rule while the block lasts."""
    right = rules()[name]
    rule(name)(wrong)
    try:
        yield
    finally:
        rule(name)(right)


def _cat_reversed(labels, node, tensors, dim=0) -> Any:
    return rules()["concat"](labels, node, tensors[::-1], dim)


def _chunk_reversed(labels, node, *args) -> Any:
    pieces: Any = rules()["split"](labels, node, *args)
    return pieces[::-1]


def _heads_reversed(labels, node, *args):
    tables: Any = rules()["view"](labels, node, *args)
    if len(tables) == 5:
        tables[3] = tables[3][::-1] if tables[3] is not None else None
    return tables


def _flatten_rolled(labels, node, *args):
    tables: Any = rules()["view"](labels, node, *args)
    return [table if table is None or len(table) < 9 else np.roll(table, 1, 0) for table in tables]


CONTROLS = {
    "cat reversed": (
        "cat",
        _cat_reversed,
        Net(lambda x, a, b, c: c(torch.cat([a(x), b(x)], 1)), linear(6, 5), linear(6, 5), linear(10, 3)),
        vector(),
    ),
    "chunk reversed": (
        "chunk",
        _chunk_reversed,
        Net(
            lambda x, a, b: b(torch.cat([a(x).chunk(2, 1)[0].relu(), a(x).chunk(2, 1)[1]], 1)),
            linear(6, 12),
            linear(12, 3),
        ),
        vector(),
    ),
    "heads reversed": ("reshape", _heads_reversed, Net(attention, linear(6, 45), linear(15, 6)), tokens()),
    "flatten rolled": (
        "flatten",
        _flatten_rolled,
        Net(lambda x, a, b: b(a(x).flatten(1)), conv(3, 5), linear(80, 3)),
        image(),
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_wrong_rule_is_caught(name):
    operation, wrong, model, x = CONTROLS[name]
    right, dimensions = proved(model, x)
    assert right.refuted == ()
    with replaced(operation, wrong):
        proof, left = proved(model, x)
    assert proof.refuted
    assert len(lengths(left)) < len(lengths(dimensions))
    assert all("fails the proof" in seen for _, seen in proof.refuted)


def test_a_mistake_is_caught_where_the_output_is_mostly_something_else():
    model = Net(
        lambda x, a, b, c: c(torch.cat([a(x), b(x)], 1)) + 1e12, linear(6, 5), linear(6, 5), linear(10, 3)
    )
    assert proved(model, vector())[0].refuted == ()
    with replaced("cat", _cat_reversed):
        assert proved(model, vector())[0].refuted


def test_what_is_left_after_a_refutation_is_proved():
    """One wrong branch costs its own dimensions alone."""
    model = Net(
        lambda x, a, b, c, d: d(c(torch.cat([a(x), b(x)], 1)).relu()),
        *(linear(6, 5), linear(6, 5), linear(10, 7), linear(7, 3)),
    )
    with replaced("cat", _cat_reversed):
        proof, dimensions = proved(model, vector())
    assert 7 in lengths(dimensions)
    assert proof.error < 1e-9


def test_tied_weights_are_one_tensor():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.inner = nn.Embedding(9, 12), nn.Linear(12, 8)
            self.back, self.head = nn.Linear(8, 12), nn.Linear(12, 9, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.back(self.inner(self.embedding(x)).relu()))

    proof, dimensions = proved(Tied(), torch.randint(9, (2, 4)))
    assert lengths(dimensions) == [8, 12]
    assert proof.error < 1e-9
