"""Limits: kept by what costs least, between measured choices by importance, and read as people write them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.compress import Costs, Sensitivity, costs_of, fit
from nas.compress.costs import wanted_rows
from nas.compress.greedy import read_limit
from nas.errors import InfeasibleError, UsageError
from tests.compress.kinds import KINDS, denoiser

FREE_AND_DEAR = {
    "classifier": ("stage4.depth", "stage2.block1.expand"),
    "denoiser": ("mid", "up_blocks.1.attentions.0.depth"),
}


@pytest.mark.parametrize("kind", [*KINDS])
def test_a_limit_is_kept_by_what_costs_least(kind: str) -> None:
    supernet = KINDS[kind]()
    space = supernet.space
    free, dear = FREE_AND_DEAR[kind]
    table = {
        d.name: np.linspace(1, 0, len(d.choices)) * {free: 1e-6, dear: 1e3}.get(d.name, 1.0)
        for d in space.dimensions
        if d.name not in supernet.family.pass_dimensions and len(d.choices) > 1
    }
    full = supernet.count(space.largest())
    for limits in (
        {"macs": full.macs * 7 // 10},
        {"params": full.params // 2},
        {"macs": full.macs * 9 // 10, "params": full.params * 6 // 10},
    ):
        found = fit(supernet, Costs(space, table), limits)
        counts = supernet.count(found)
        assert all(getattr(counts, name) <= most for name, most in limits.items())
        assert found[free] == space[free].choices[0]
        assert found[dear] == space[dear].choices[-1]
        assert found == fit(supernet, Costs(space, table), limits)
        # Nothing that is left out would still have room.
        (row,) = space.codes([found])
        for column, name in enumerate(space.names):
            if name in table and 0 <= row[column] < len(space[name].choices) - 1:
                larger = {**space.largest(), **found, name: space[name].choices[row[column] + 1]}
                more = supernet.count(space.subnet(larger))
                assert any(getattr(more, kind) > most for kind, most in limits.items())
    with pytest.raises(InfeasibleError, match=r"the smallest subnet has .* MACs, more than the 10 asked for"):
        fit(supernet, Costs(space, table), {"macs": 10})


def test_between_measured_choices_importance_decides() -> None:
    family, name = denoiser().family, "mid_block.attentions.0.transformer_blocks.0.attn2.heads"
    importance = {name: torch.tensor([6.0, 2.0, 1.0, 1.0])}
    wanted = wanted_rows(family, importance)
    assert [choice for dimension, choice in wanted if dimension == name] == [1]
    assert {"mid", "mid_block.attentions.0.depth"} <= {dimension for dimension, _ in wanted}
    assert "steps" not in {dimension for dimension, _ in wanted}
    rows = [Sensitivity(name, 1, 0.8, 0.1, 0.1)]
    np.testing.assert_allclose(costs_of(family.space, importance, rows).table[name], [0.8, 0.4, 0.2, 0.0])
    # A measurement that says less is worse is chance.
    rows = [Sensitivity(name, choice, error, 0.1, 0.1) for choice, error in ((1, 0.5), (2, 0.1), (3, 0.3))]
    np.testing.assert_allclose(costs_of(family.space, importance, rows).table[name], [0.5, 0.3, 0.3, 0.0])


def test_limits_are_read_as_people_write_them() -> None:
    assert read_limit("macs", "60%", 1000) == 600
    assert read_limit("params", "2k", 10) == 2000
    for text in ("0%", "120%", "many%"):
        with pytest.raises(UsageError, match="give a share above 0%"):
            read_limit("macs", text, 1000)
    with pytest.raises(UsageError, match="no count"):
        read_limit("macs", "many", 1000)
