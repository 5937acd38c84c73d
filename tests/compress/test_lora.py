"""Adapters of any network: they change nothing at first, are all that is trained, and are merged into the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nas.compress.lora import adaptable, add_adapters, merged
from nas.elastic import call
from nas.errors import UsageError
from tests.compress.kinds import KINDS, examples


@pytest.fixture(params=[*KINDS])
def network_and_inputs(request: pytest.FixtureRequest) -> tuple[nn.Module, Any]:
    supernet = KINDS[request.param]()
    inputs, _ = examples(supernet, 1)[0]
    return supernet.extract(supernet.family.uniform(0.5)).eval(), inputs


def test_adapters_are_all_that_is_trained_and_come_off(network_and_inputs: tuple[nn.Module, Any]) -> None:
    network, inputs = network_and_inputs
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layers = adaptable(network)
    kinds = {type(network.get_submodule(name)) for name in layers}
    assert {nn.Linear, nn.Conv2d} <= kinds
    with torch.no_grad():
        plain = call(network, inputs)
        add_adapters(network, 2)
        torch.testing.assert_close(call(network, inputs), plain, rtol=0, atol=0)
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * len(layers) and all(".lora_" in name for name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=0.01)
    for _ in range(2):  # the first step moves the second matrices alone
        optimizer.zero_grad()
        call(network, inputs).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        changed, made = call(network, inputs), merged(network)
        size = float(plain.abs().max())
        assert float((changed - plain).abs().max()) > 1e-2 * size
        torch.testing.assert_close(call(made, inputs), changed, rtol=0, atol=1e-4 * size)
    after = made.state_dict()
    assert after.keys() == before.keys()
    assert not any(p.requires_grad for p in made.parameters())
    different = {name for name in before if not torch.equal(before[name], after[name])}
    assert different and different <= {f"{name}.weight" for name in layers}


def test_one_seed_gives_one_start() -> None:
    def first(seed: int) -> torch.Tensor:
        network = KINDS["classifier"]().network
        add_adapters(network, 2, seed=seed)
        return next(p for name, p in network.named_parameters() if ".lora_A." in name)

    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))


def test_layers_are_found_by_the_ends_of_their_names() -> None:
    network = KINDS["denoiser"]().network
    some = adaptable(network, (".to_q", ".conv1"))
    assert some and all(name.endswith((".to_q", ".conv1")) for name in some)
    add_adapters(network, 1, some)
    trained = {name.partition(".lora_")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {*some}


def test_depthwise_convolutions_are_left_out_and_wrong_layers_refused() -> None:
    network = KINDS["classifier"]().network
    depthwise = "stages.2.1.depthwise.conv"
    assert depthwise not in adaptable(network)
    cases: list[tuple[int, list[str] | None, str]] = [
        (2, [depthwise], "depthwise.conv is none"),
        (2, [], "the network has none"),
        (0, None, "at least 1"),
    ]
    for rank, layers, why in cases:
        with pytest.raises(UsageError, match=why):
            add_adapters(network, rank, layers)
    assert all(p.requires_grad for p in network.parameters())
