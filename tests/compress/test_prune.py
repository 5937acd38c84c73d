"""Pruning: what is kept within a limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.compress import L1, PruneConfig, Taylor, decide, prune_model
from nas.elastic import Supernet, find_subnet
from nas.errors import InfeasibleError, UsageError
from nas.families.mobilenetv3 import mbv3_small_image
from nas.models import Model, load_model, save_model


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(mbv3_small_image(width=0.5)).eval()


@pytest.fixture(scope="module")
def model(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("models") / "small"
    classes = [str(number) for number in range(10)]
    save_model(folder, supernet, name="small", classes=classes, mean=[0.5] * 3, std=[0.25] * 3)
    return load_model(folder)


def examples(count: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(2, 3, 32, 32, generator=generator), torch.arange(2)) for _ in range(count)]


@settings(max_examples=6, deadline=None)
@given(share=st.integers(30, 95), kind=st.sampled_from(["macs", "params"]))
def test_a_limit_is_kept_and_used(supernet: Supernet, share: int, kind: str) -> None:
    limit: dict[str, Any] = {kind: f"{share}%"}
    config = PruneConfig(**limit)
    cut = decide(supernet, config, L1(), examples, keeps_order=True)
    assert cut.subnet is not None and cut.after == supernet.count(cut.subnet)
    used = getattr(cut.after, kind) / getattr(cut.before, kind)
    assert share / 100 - 0.12 < used <= share / 100
    again = decide(supernet, config, L1(), examples, keeps_order=True)
    assert again.subnet == cut.subnet


def test_what_costs_least_is_left_out() -> None:
    """A block that changes nothing is the first to go."""
    torch.manual_seed(0)
    supernet = Supernet(mbv3_small_image(width=0.5)).eval()
    block = supernet.network.get_submodule("stages.4.3")
    with torch.no_grad():
        block.get_parameter("project.norm.weight").zero_()
        block.get_parameter("project.norm.bias").zero_()
    share = (
        1
        - supernet.count_parts(supernet.space.largest())["stages.4.3"].params
        / supernet.count(supernet.space.largest()).params
    )
    config = PruneConfig(params=f"{100 * share + 0.5:.1f}%")
    cut = decide(supernet, config, Taylor(F.cross_entropy), examples, keeps_order=True)
    assert cut.subnet is not None and cut.subnet["stage4.depth"] == 2
    others = {name: choice for name, choice in cut.subnet.items() if name != "stage4.depth"}
    assert all(choice == supernet.space[name].choices[-1] for name, choice in others.items())


def test_entries_are_sorted_where_the_order_means_nothing() -> None:
    torch.manual_seed(0)
    supernet = Supernet(mbv3_small_image(width=0.5)).eval()
    before = {name: tensor.clone() for name, tensor in supernet.network.state_dict().items()}
    x, largest = examples()[0][0], supernet.space.largest()
    with torch.no_grad():
        output = supernet(x, largest)
    decide(supernet, PruneConfig(macs="60%"), L1(), examples, keeps_order=True)
    assert all(tensor.equal(before[name]) for name, tensor in supernet.network.state_dict().items())
    decide(supernet, PruneConfig(macs="60%"), L1(), examples, keeps_order=False)
    assert not all(tensor.equal(before[name]) for name, tensor in supernet.network.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(supernet(x, largest), output, rtol=1e-3, atol=1e-5)


def test_the_table_tells_of_every_smaller_choice(supernet: Supernet) -> None:
    heard: list[tuple[str, int, int]] = []
    cut = decide(
        supernet, PruneConfig(table=True), L1(), examples, keeps_order=True,
        progress=lambda *told: heard.append(told),
    )  # fmt: skip
    smaller = {
        (dimension.name, choice)
        for dimension in supernet.space.dimensions
        for choice in dimension.choices[:-1]
    }
    assert {(row.dimension, row.choice) for row in cut.rows} == smaller and cut.subnet is None
    assert [row.error for row in cut.rows] == sorted((row.error for row in cut.rows), reverse=True)
    assert heard[-1] == ("sensitivity", len(smaller), len(smaller))


@pytest.mark.parametrize("text", ["half", '{"depth": 1, "expand": 2}'])
def test_a_subnet_by_name_or_choices_is_taken_as_it_is(supernet: Supernet, text: str) -> None:
    asked: list[str] = []

    def noted() -> list[tuple[torch.Tensor, torch.Tensor]]:
        asked.append(text)
        return examples()

    cut = decide(supernet, PruneConfig(subnet=text), L1(), noted, keeps_order=True)
    assert cut.subnet == find_subnet(supernet.family, text) and cut.after.macs < cut.before.macs
    assert asked == [] and cut.importance == "", "nothing is measured where an order stays"
    decide(supernet, PruneConfig(subnet=text), L1(), noted, keeps_order=False)
    assert asked == [text]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "how small"),
        ({"subnet": "half", "macs": "60%"}, "both given"),
        ({"macs": "60%", "samples": 0}, "at least 1"),
    ],
)
def test_wrong_wishes_are_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        PruneConfig(**given)  # pyright: ignore[reportArgumentType]


def test_limits_that_cannot_be(supernet: Supernet) -> None:
    with pytest.raises(InfeasibleError, match="smallest subnet"):
        decide(supernet, PruneConfig(macs="1%"), L1(), examples, keeps_order=True)
    with pytest.raises(UsageError, match="already"):
        decide(supernet, PruneConfig(macs="900M"), L1(), examples, keeps_order=True)
    with pytest.raises(UsageError, match="such as 60%"):
        decide(supernet, PruneConfig(macs="x%"), L1(), examples, keeps_order=True)


def test_a_model_is_pruned_without_data(model: Model) -> None:
    cut = prune_model(model, PruneConfig(macs="70%", samples=4))
    assert cut.importance == "output" and cut.after.macs <= 0.7 * cut.before.macs
    named = prune_model(model, PruneConfig(macs="70%", samples=4), importance="batch-norm")
    assert named.importance == "batch-norm" and named.subnet is not None


def test_subnets_are_found_by_every_way_to_name_one(model: Model, tmp_path: Path) -> None:
    family = model.family
    half = family.uniform(0.5)
    file = tmp_path / "subnet.json"
    file.write_text(json.dumps(half.to_dict()))
    assert find_subnet(family, str(file)) == find_subnet(family, str(tmp_path)) == half
    assert find_subnet(family, "smallest") == family.space.smallest()
    for text, why in (
        ("nosuch", "give one of"),
        ('{"elephant": 1}', "no dimension"),
        ('{"depth"', "not complete"),
    ):
        with pytest.raises(UsageError, match=why):
            find_subnet(family, text)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UsageError, match="no JSON object"):
        find_subnet(family, str(tmp_path / "list.json"))
