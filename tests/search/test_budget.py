"""Budgets: read as people write them, refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from nas.errors import UsageError
from nas.search import Budget
from nas.search.trials.budget import format_cost


def test_parse_reads_every_limit() -> None:
    budget = Budget.parse("20ms", "20M", "1.5M", "6MB")
    assert budget == Budget(latency_ms=20.0, macs=20_000_000, params=1_500_000, size_bytes=6_000_000)
    assert budget.limits().tolist() == [20.0, 2e7, 1.5e6, 6e6]


@pytest.mark.parametrize("text", ["banana", "0ms", "-3ms", "20", "nanms", "20 MB", ""])
def test_a_wrong_latency_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Budget.parse(text)
    assert repr(text.strip()) in str(error.value) or repr(text) in str(error.value)


def test_a_budget_needs_a_limit() -> None:
    with pytest.raises(UsageError, match="give at least one of --latency, --macs, --params and --size"):
        Budget.parse()


def test_a_limit_is_above_zero() -> None:
    with pytest.raises(UsageError, match="above zero"):
        Budget(latency_ms=0.0)
    with pytest.raises(UsageError, match="above zero"):
        Budget(latency_ms=float("nan"))


def test_no_limit_is_infinite_and_primary_is_latency_first() -> None:
    assert np.isinf(Budget(macs=5).limits()).tolist() == [True, False, True, True]
    assert Budget(latency_ms=1.0, macs=5).primary == "latency_ms"
    assert Budget(params=5, size_bytes=7).primary == "params"


def test_broken_limits_are_named() -> None:
    costs = {"latency_ms": 3.0, "macs": 10.0, "params": 1.0, "size_bytes": 4.0}
    assert Budget(latency_ms=2.0, macs=10).broken_by(costs) == ["latency_ms"]


def test_json_round_trip_and_unknown_limits() -> None:
    budget = Budget(latency_ms=0.8, size_bytes=1_500_000)
    assert Budget.from_dict(budget.to_dict()) == budget
    with pytest.raises(UsageError, match="'energy' is no limit"):
        Budget.from_dict({"energy": 3})


def test_words() -> None:
    budget = Budget(latency_ms=20.0, macs=5_000_000)
    assert str(budget) == "latency ≤ 20 ms, MACs ≤ 5M"
    assert budget.slug == "20ms-5Mmacs"
    assert format_cost("size_bytes", 1_500_000) == "1.5 MB"
