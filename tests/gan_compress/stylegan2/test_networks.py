"""The static generator: the modulated convolution against its grouped form, and the space's channels."""

from __future__ import annotations

import pytest
import torch

from gan_compress.stylegan2.family import anycost, uniform_channels
from gan_compress.stylegan2.networks import Blur, ModulatedConv, Upsample
from nas.errors import UsageError
from tests.gan_compress.grouped import grouped


@pytest.mark.parametrize(
    ("kernel", "upsample", "demodulate"), [(3, False, True), (3, True, True), (1, False, False)]
)
def test_modulated_convolution_equals_the_grouped_form(kernel: int, upsample: bool, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(6, 5, kernel, 8, fan_in=12, upsample=upsample, demodulate=demodulate).double()
    x, style = torch.randn(3, 6, 7, 7).double(), torch.randn(3, 8).double()
    assert torch.allclose(layer(x, style), grouped(layer, x, style), rtol=1e-9, atol=1e-9)


def test_filters_keep_a_constant_picture_inside() -> None:
    ones = torch.ones(1, 2, 6, 6)
    assert torch.allclose(Upsample(2)(ones)[:, :, 2:-2, 2:-2], torch.ones(1, 2, 8, 8))
    assert torch.allclose(Blur(2)(ones)[:, :, 1:-1, 1:-1], torch.full((1, 2, 3, 3), 4.0))


def test_uniform_channels_are_the_published_ones() -> None:
    assert uniform_channels(64, 0.5, 0.25) == (512, 512, 256, 256, 128, 128, 64, 64, 32, 32)
    assert uniform_channels(1024, 2, 1.0)[-4:] == (64, 64, 32, 32)
    family = anycost(64, 0.5)
    for ratio in (0.25, 0.5, 0.75, 1.0):
        assert family.channels(family.uniform(ratio)) == uniform_channels(64, 0.5, ratio)
        assert family.channels(family.uniform(ratio, 16)) == uniform_channels(64, 0.5, ratio)[:6]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 2048}, "power of two"),
        ({"smallest": 128}, "more than the resolution"),
        ({"multiplier": 0}, "more than 0"),
        ({"style": "wide"}, "style is 'wide'"),
        ({"classes": -1}, "classes is -1"),
    ],
)
def test_impossible_options_cost_one_sentence(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        anycost(**options)


def test_channels_that_are_no_choice_cost_one_sentence() -> None:
    family = anycost(64, 0.5)
    full = list(family.full)
    with pytest.raises(UsageError, match="9 channels were given"):
        family.subnet(full[:-1])
    with pytest.raises(UsageError, match="layer 0 has 256"):
        family.subnet([256, *full[1:]])
    with pytest.raises(UsageError, match=r"layer2\.channels"):
        family.subnet([*full[:2], 100, *full[3:]])
