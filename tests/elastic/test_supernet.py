"""The supernet: what it refuses, what it shares between subnets, what a call leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nas.elastic import Elastic, Fixed, Layout, Part, Supernet, l1_importance
from nas.space import Dimension, SpaceError
from tests.conformance.families import make_supernet
from tests.conformance.models import Heads
from tests.conformance.models._small import SmallFamily


@pytest.fixture
def supernet() -> Supernet:
    return make_supernet("widths")


def test_a_subnet_of_another_space_is_refused(supernet: Supernet) -> None:
    other = Heads().space.largest()
    x = supernet.family.example_input(supernet.space.largest())
    for call in (lambda: supernet(x, other), lambda: supernet.extract(other), lambda: supernet.count(other)):
        with pytest.raises(SpaceError, match="the subnet belongs to search space 'small-heads'"):
            call()
    with pytest.raises(SpaceError, match="the subnet belongs to search space 'small-heads'"):
        supernet.family.build(other)


def test_equal_block_configurations_share_one_skeleton(supernet: Supernet) -> None:
    space = supernet.space
    largest = dict(space.largest())
    first = supernet.skeleton(space.largest())
    second = supernet.skeleton(space.subnet(largest | {"block2.kernel": 3}))
    assert supernet.skeleton(space.subnet(largest)) is first
    assert second.get_submodule("block1") is first.get_submodule("block1")
    assert second.get_submodule("block2") is not first.get_submodule("block2")


@torch.no_grad()
def test_more_subnets_than_are_remembered_stay_right(supernet: Supernet) -> None:
    space, rng = supernet.space, np.random.default_rng(0)
    subnets = [space.sample(rng) for _ in range(150)]
    x = supernet.family.example_input(space.largest(), 2)
    outputs = [supernet(x, subnet) for subnet in subnets]
    for index in (0, 70, 149):
        assert torch.equal(supernet(x, subnets[index]), outputs[index])
        assert torch.equal(supernet.extract(subnets[index])(x), outputs[index])


def test_slices_are_views_where_each_axis_is_one_segment(supernet: Supernet) -> None:
    largest = dict(supernet.space.largest())
    subnet = supernet.space.subnet(largest | {"width": 4})
    slices = supernet.slices(subnet)
    full = supernet.network.get_parameter("block1.widen.weight")
    assert slices["block1.widen.weight"].data_ptr() == full.data_ptr()
    assert slices["block1.widen.weight"].shape == (12, 4, 1, 1)
    assert full.shape == (24, 8, 1, 1)


@torch.no_grad()
def test_a_mode_switched_between_calls_reaches_shared_parts(supernet: Supernet) -> None:
    """A part that is in several networks may have been put into the other mode by another one."""
    space = supernet.space
    first, second = space.largest(), space.subnet(dict(space.largest()) | {"block2.kernel": 3})
    x = supernet.family.example_input(first, 4)
    mean = supernet.network.get_buffer("block1.norm.running_mean")
    supernet.train()(x, first)
    supernet.eval()(x, second)
    before = mean.clone()
    supernet(x, first)
    assert torch.equal(mean, before)
    supernet.train()(x, first)
    assert not torch.equal(mean, before)


@torch.no_grad()
def test_overrides_replace_tensors_for_one_call(supernet: Supernet) -> None:
    subnet = supernet.space.smallest()
    x = supernet.family.example_input(subnet, 2)
    plain, static = supernet(x, subnet), supernet.extract(subnet)
    name = "block1.norm.running_mean"
    override = torch.linspace(-1, 1, len(static.get_buffer(name)))
    static.get_buffer(name).copy_(override)
    assert torch.equal(supernet(x, subnet, {name: override}), static(x))
    assert torch.equal(supernet(x, subnet), plain)


@torch.no_grad()
def test_statistics_of_an_override_do_not_flow_into_the_supernet(supernet: Supernet) -> None:
    subnet = supernet.space.smallest()
    x = supernet.family.example_input(subnet, 4)
    own = {n: t.clone() for n, t in supernet.extract(subnet).named_buffers()}
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    supernet.train()(x, subnet, own)
    assert all(torch.equal(buffer, before[name]) for name, buffer in supernet.named_buffers())
    assert int(own["block1.norm.num_batches_tracked"]) == 1


def test_an_override_that_the_subnet_does_not_have_is_refused(supernet: Supernet) -> None:
    subnet = supernet.space.smallest()
    x = supernet.family.example_input(subnet)
    with pytest.raises(SpaceError, match=r"the subnet has no tensor 'block2\.norm\.bias'"):
        supernet(x, subnet, {"block2.norm.bias": torch.zeros(4)})


@torch.no_grad()
def test_channels_last_gives_the_same_up_to_rounding() -> None:
    supernet = make_supernet("mbv3-small-image")
    subnet = supernet.space.smallest()
    x = supernet.family.example_input(subnet, 4)
    expected = supernet(x, subnet)
    given = supernet.to(memory_format=torch.channels_last)(
        x.contiguous(memory_format=torch.channels_last), subnet
    )
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


class WronglyLaidOut(SmallFamily):
    """Forgets that the bias is as elastic as the weight."""

    input_shape = (3,)

    def __init__(self) -> None:
        layouts = {"weight": Layout((Elastic("width"), Fixed(3)))}
        part = Part("layer", lambda choices: nn.Linear(3, int(choices["width"])), layouts)
        super().__init__("wrong", [Dimension("width", (2, 4))], [part])


def test_a_wrong_layout_is_named() -> None:
    supernet = Supernet(WronglyLaidOut())
    with pytest.raises(ValueError, match=r"layer\.bias of wrong has shape \(2,\) .* its layout gives \(4,\)"):
        supernet(torch.zeros(1, 3), supernet.space.smallest())


def test_sorting_refuses_what_it_does_not_know(supernet: Supernet) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with pytest.raises(SpaceError, match="importance 'l3' is not known; give 'l1' or scores"):
        supernet.sort_channels("l3")
    with pytest.raises(SpaceError, match="no elastic axis is called 'height'; the axes are"):
        supernet.sort_channels({"height": torch.ones(8)})
    with pytest.raises(SpaceError, match=r"'width' has 8 entries, but scores of shape \(5,\) were given"):
        supernet.sort_channels({"width": torch.ones(5)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


@torch.no_grad()
def test_sorting_keeps_the_important_channels_in_a_subnet() -> None:
    """Channels that matter are put where the smallest subnet finds them."""
    supernet = make_supernet("widths")
    scores = l1_importance(supernet.family, supernet.network)["block1.wide"]
    best = scores.argsort(descending=True)[:6]
    expected = supernet.network.get_parameter("block1.filter.weight")[best].clone()
    assert best.tolist() != list(range(6))
    supernet.sort_channels({"block1.wide": scores})
    subnet = supernet.space.subnet({"width": 4, "depth": 1, "block1.expand": 1.5, "block1.kernel": 7})
    assert torch.equal(supernet.extract(subnet).get_parameter("block1.filter.weight"), expected)
