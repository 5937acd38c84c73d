"""The space of GAN Compression's generators: names, widths and configurations as published."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gan_compress.pix2pix.family import STAGES, gan_compression, read_configuration
from gan_compress.pix2pix.resnet_generator import ResNetGenerator, group_sizes, mapping_places
from nas.elastic import Supernet
from nas.errors import UsageError
from nas.families import get_family
from nas.space import SpaceError

# The convolutions of the published supernet of 9 blocks with 16 channels, written by hand from its code.
_NINE_BLOCKS = {
    "model.1": (16, 3, 7, 7),
    "model.4": (32, 16, 3, 3),
    "model.7": (64, 32, 3, 3),
    **{f"model.{block}.conv_block.{at}.conv.0": (64, 1, 3, 3) for block in range(10, 19) for at in (1, 6)},
    **{f"model.{block}.conv_block.{at}.conv.2": (64, 64, 1, 1) for block in range(10, 19) for at in (1, 6)},
    "model.19": (64, 32, 3, 3),
    "model.22": (32, 16, 3, 3),
    "model.26": (3, 16, 7, 7),
}
_TRANSPOSED = ("model.19", "model.22")


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_names_and_shapes_are_the_published_ones() -> None:
    family = get_family("gan-compression", ngf=16)
    expected = {f"{name}.weight": shape for name, shape in _NINE_BLOCKS.items()}
    expected |= {
        f"{name}.bias": (shape[name in _TRANSPOSED],) for name, shape in _NINE_BLOCKS.items()
    }  # a transposed convolution has its outputs second
    assert shapes(family.build(family.space.largest())) == expected


def test_plain_generators_have_the_names_of_cyclegan_and_pix2pix() -> None:
    for slot, second in ((True, 6), (False, 5)):
        family = gan_compression(ngf=16, blocks=6, separable=False, dropout=slot)
        found = shapes(family.build(family.space.largest()))
        assert found["model.10.conv_block.1.weight"] == found[f"model.10.conv_block.{second}.weight"]
        assert found["model.10.conv_block.1.weight"] == (64, 64, 3, 3)
        assert found["model.23.weight"] == (3, 16, 7, 7) and "model.2.weight" not in found
    batch = gan_compression(ngf=16, blocks=6, separable=False, norm="batch")
    found = shapes(batch.build(batch.space.largest()))
    assert "model.1.bias" not in found and found["model.2.running_var"] == (16,)
    assert found["model.23.bias"] == (3,)  # the last convolution has no norm behind it


def test_channels_of_a_subnet_are_those_of_its_configuration() -> None:
    family = gan_compression(ngf=64)
    subnet = family.subnet("32_24_48_32_40_56_16_24")
    found = shapes(family.build(subnet))
    assert found["model.1.weight"] == (32, 3, 7, 7)
    assert found["model.4.weight"] == (48, 32, 3, 3)
    assert found["model.7.weight"] == (192, 48, 3, 3)
    for block, inner in zip(range(10, 19), (128,) * 3 + (160,) * 3 + (224,) * 3, strict=True):
        assert found[f"model.{block}.conv_block.1.conv.2.weight"] == (inner, 192, 1, 1)
        assert found[f"model.{block}.conv_block.6.conv.2.weight"] == (192, inner, 1, 1)
    assert found["model.19.weight"] == (192, 32, 3, 3)
    assert found["model.22.weight"] == (32, 24, 3, 3)
    assert found["model.26.weight"] == (3, 24, 7, 7)


@given(st.data())
def test_configurations_survive_writing_and_reading(data: st.DataObject) -> None:
    family = gan_compression(ngf=data.draw(st.integers(1, 64)), blocks=3, resolution=16)
    numbers = [data.draw(st.sampled_from(family.space[f"{stage}.channels"].choices)) for stage in STAGES]
    text = "_".join(map(str, numbers))
    assert family.configuration(family.subnet(text)) == text
    assert family.channels(family.subnet(text)) == tuple(numbers)


def test_six_numbers_have_one_for_all_blocks() -> None:
    assert read_configuration("24_16_32_40_8_48") == (24, 16, 32, 40, 40, 40, 8, 48)


@pytest.mark.parametrize(
    "text", ["", "32", "32_32_32", "a_1_1_1_1_1_1_1", "0_1_1_1_1_1_1_1", "1_1_1_1_1_1_1"]
)
def test_another_text_is_no_configuration(text: str) -> None:
    with pytest.raises(UsageError, match="eight numbers"):
        gan_compression(ngf=8).subnet(text)


def test_a_number_that_is_no_choice_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"stem\.channels is 15"):
        gan_compression(ngf=64).subnet("15_16_16_16_16_16_16_16")


def test_choices_are_eighths_from_a_quarter_on_or_as_given() -> None:
    assert gan_compression(ngf=32).space["up1.channels"].choices == (8, 12, 16, 20, 24, 28, 32)
    assert gan_compression(ngf=8).space["stem.channels"].choices == (4, 5, 6, 7, 8)
    assert gan_compression(ngf=2).space["stem.channels"].choices == (2,)
    published = gan_compression(ngf=48, choices=(16, 24, 32, 40, 64))
    assert published.space["stem.channels"].choices == (16, 24, 32, 40, 48)
    own = gan_compression(ngf=48, channels="32_32_48_32_48_48_16_16")
    assert own.configuration(own.space.largest()) == "32_32_48_32_48_48_16_16"
    assert own.space["group1.channels"].choices == (8, 12, 16, 20, 24, 28, 32)


def test_groups_and_mapping_places_are_the_published_ones() -> None:
    assert group_sizes(9) == (3, 3, 3) and group_sizes(6) == (2, 2, 2) and group_sizes(8) == (2, 2, 4)
    assert mapping_places(9) == (9, 12, 15, 18)


@torch.no_grad()
def test_features_are_what_the_modules_give() -> None:
    family = gan_compression(ngf=8, blocks=3, resolution=16)
    network, x = family.build(family.space.largest()).eval(), family.example_input(family.space.largest())
    assert isinstance(network, ResNetGenerator)
    images, features = network.with_features(x, (9, 10))
    assert torch.equal(images, network(x)) and [tuple(f.shape) for f in features] == [(1, 32, 4, 4)] * 2
    assert torch.equal(features[1], network.model[10](features[0]))


@torch.no_grad()
def test_any_size_that_is_a_multiple_of_four() -> None:
    supernet = Supernet(gan_compression(ngf=8, blocks=3, resolution=16)).eval()
    x = torch.rand(1, 3, 20, 48) * 2 - 1
    assert supernet(x, supernet.space.smallest()).shape == x.shape


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ngf": 0}, "ngf is 0"),
        ({"blocks": 2}, "blocks is 2"),
        ({"resolution": 12}, "resolution is 12"),
        ({"resolution": 30}, "multiple of 4"),
        ({"norm": "layer"}, "'instance' or 'batch'"),
        ({"inputs": True}, "inputs is True"),
        ({"ngf": 8, "channels": "16_8_8_8_8_8_8_8"}, "larger ngf"),
        ({"channels": "16"}, "no channel configuration"),
        ({"choices": (0,)}, "at least 1"),
    ],
)
def test_wrong_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        get_family("gan-compression", **options)


def test_a_student_of_nine_times_fewer_macs_is_in_the_space_of_the_recipes() -> None:
    from gan_compress.pix2pix.training import load_recipe

    teacher, student = (load_recipe(name).family() for name in ("deblur-teacher", "deblur-compress"))
    full = Supernet(teacher).count(teacher.space.largest()).macs
    supernet = Supernet(student)
    assert full == 141_754_368
    assert full > 30 * supernet.count(student.space.smallest()).macs
    half = supernet.count(student.subnet("_".join(["16"] * 8))).macs
    assert full > 9 * half


def test_a_row_of_the_architecture_tells_of_one_stage() -> None:
    from nas.export import architecture

    family = gan_compression(ngf=8, blocks=4, resolution=16, norm="batch")
    supernet = Supernet(family)
    rows = architecture(supernet, family.subnet("8_7_6_5_4_8_7_6")).groups
    assert [row.name for row in rows] == [*STAGES, "output"]
    assert [row.choices.get("channels") for row in rows] == [
        [8, 8], [7, 7], [6, 6], [5], [4], [8, 8], [7, 7], [6, 6], None,
    ]  # fmt: skip
    assert rows[4].widths == {"inner": [16]} and rows[5].blocks == 2  # the last group has what is left
    assert rows[5].output == (24, 4, 4) and rows[-1].output == (3, 16, 16)
    assert sum(row.macs for row in rows) == supernet.count(family.subnet("8_7_6_5_4_8_7_6")).macs
