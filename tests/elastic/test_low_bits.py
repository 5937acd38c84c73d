"""Bits of weights as dimensions of any family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.compress import write_with_bits
from nas.elastic import Family, Supernet, call, offer_bits, quantized
from nas.families import get_family
from nas.families.mobilenetv3 import MobileNetV3, mbv3_small_image
from nas.models import load_model
from nas.space import SpaceError


@pytest.fixture(scope="module")
def plain() -> MobileNetV3:
    return mbv3_small_image(width=0.5)


@pytest.fixture(scope="module")
def family(plain: MobileNetV3) -> MobileNetV3:
    return offer_bits(plain, [4, 8, 32])


@pytest.fixture(scope="module")
def supernet(family: MobileNetV3) -> Supernet:
    torch.manual_seed(0)
    return Supernet(family).eval()


def test_a_dimension_for_each_group_between_the_first_and_the_last_layer(
    plain: MobileNetV3, family: MobileNetV3
) -> None:
    bits = [name for name in family.space.names if name.endswith(".bits")]
    assert bits[0] == "first.bits" and "stages.2.bits" in bits and len(bits) == len({*bits})
    assert "stem.bits" not in bits and "classifier.bits" not in bits
    assert all(family.space[name].choices == (4, 8, 32) for name in bits)
    assert [name for name in family.space.names if name not in bits] == [*plain.space.names]
    assert isinstance(family, MobileNetV3) and type(family).__name__ == "MobileNetV3"
    assert not any(name.endswith(".bits") for name in plain.space.names) and "bits" not in plain.options


def test_the_registry_makes_any_family_with_bits(family: MobileNetV3) -> None:
    made = get_family("mbv3-small-image", width=0.5, bits=[4, 8, 32])
    assert made.space.digest == family.space.digest and made.options["bits"] == [4, 8, 32]


def test_weights_are_interchangeable_and_floats_stay_floats(plain: MobileNetV3, supernet: Supernet) -> None:
    twin = Supernet(plain).eval()
    twin.network.load_state_dict(supernet.network.state_dict())
    x = plain.example_input(plain.space.largest(), 2)
    with torch.no_grad():
        assert twin(x, plain.space.largest()).equal(supernet(x, supernet.space.largest()))


def test_few_bits_are_those_of_the_quantizer(family: Family, supernet: Supernet) -> None:
    subnet = family.uniform(1, bits=8)
    network = supernet.extract(subnet)
    floats = supernet.extract(family.space.largest())
    ours, theirs = dict(network.named_parameters()), dict(floats.named_parameters())
    changed = [name for name in ours if not ours[name].equal(theirs[name])]
    assert changed and not any(name.startswith(("stem", "classifier")) for name in changed)
    for name in changed:
        torch.testing.assert_close(ours[name], quantized(theirs[name].detach(), 8), rtol=0, atol=0)
    assert not any("depthwise" in name for name in changed)  # grouped convolutions stay floats


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_an_extracted_subnet_is_the_slice(supernet: Supernet, seed: int) -> None:
    subnet = supernet.space.sample(np.random.default_rng(seed))
    x = supernet.family.example_input(subnet, 2)
    with torch.no_grad():
        assert call(supernet.extract(subnet), x).equal(supernet(x, subnet))


def test_counts_know_packed_weights(family: Family, supernet: Supernet) -> None:
    sizes = [supernet.count(family.uniform(1, bits=bits)) for bits in (4, 8, 32)]
    assert sizes[0].size_bytes < sizes[1].size_bytes < sizes[2].size_bytes / 2
    assert len({(count.macs, count.params) for count in sizes}) == 1


def test_gradients_reach_float_weights(family: Family, supernet: Supernet) -> None:
    subnet = family.uniform(0.5, bits=4)
    supernet.train()
    supernet(family.example_input(subnet, 2), subnet).square().mean().backward()
    supernet.eval()
    gradient = supernet.network.get_parameter("final_expand.conv.weight").grad
    assert gradient is not None and float(gradient.abs().sum()) > 0
    supernet.zero_grad()


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        ([8], "offered together"),
        ([4, 8], "offered together"),
        ([8, 4, 32], "ascending"),
        ([2, 32], "must be"),
    ],
)
def test_bits_that_make_no_sense_are_refused(plain: MobileNetV3, bits: list[int], why: str) -> None:
    with pytest.raises(SpaceError, match=why):
        offer_bits(plain, bits)


def test_bits_are_offered_once(family: MobileNetV3) -> None:
    with pytest.raises(SpaceError, match="already"):
        offer_bits(family, [8, 32])


def test_a_network_without_a_layer_in_the_middle_is_refused() -> None:
    with pytest.raises(SpaceError, match="no layer"):
        offer_bits(get_family("anycost", resolution=32), [8, 32])


def test_a_model_with_bits_is_a_folder_like_any(tmp_path: Path) -> None:
    model = load_model("mbv3-cifar10")
    folder = write_with_bits(model, tmp_path / "few", [8, 32])
    few = load_model(folder)
    assert few.name == "mbv3-cifar10-bits" and few.table() is None and few.calibration is not None
    subnet = few.family.uniform(0.5, bits=8)
    plain = model.space.subnet({name: subnet[name] for name in model.space.names if name in subnet})
    x = few.normalize(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    with torch.no_grad():
        ours, theirs = few.extract(subnet)(x), model.extract(plain)(x)
    assert not ours.equal(theirs)
    error = float((ours - theirs).square().mean() / theirs.square().mean())
    assert error < 0.02  # eight bits hardly change a trained network
    assert isinstance(few.supernet, nn.Module)
