"""The published Anycost GAN implementation's own images, recomputed here from its checkpoint layout."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_compress.stylegan2.family import StyleGAN2, anycost
from nas.elastic import Supernet


def golden_weight(salt: str, key: str, shape: list[int]) -> torch.Tensor:
    """Make one tensor by the recipe that stands beside the golden outputs; kernels keep their own values."""
    r = np.random.RandomState(zlib.crc32((salt + key).encode()))
    if len(shape) <= 1:
        value = 0.1 * r.standard_normal(shape)
    else:
        value = r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    if key.endswith("modulation.bias"):
        value = value + 1
    elif key.startswith("style.") and key.endswith(".weight"):
        value = value * 100 * np.sqrt(shape[1] / 2)
    elif key.endswith(".weight") and len(shape) >= 2:
        value = value * np.sqrt(np.prod(shape[1:]) / 2)
    return torch.tensor(value, dtype=torch.float32)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict:
    path = shared / "golden" / "anycost_64.json"
    if not path.is_file():
        pytest.skip("the golden outputs are not at hand")
    images = np.load(path.with_suffix(".npz"))
    return {**json.loads(path.read_text()), "images": images}


@pytest.fixture(scope="module")
def supernet(golden: dict) -> Supernet:
    net = Supernet(anycost(golden["resolution"], golden["channel_multiplier"], golden["style_dim"]))
    state = net.network.state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == golden["shapes"]
    for key, tensor in state.items():
        if not key.endswith(".kernel"):
            tensor.copy_(golden_weight(golden["weights_salt"], key, golden["shapes"][key]))
    return net.eval()


@pytest.mark.parametrize("index", range(9))
def test_reproduces_the_published_images(golden: dict, supernet: Supernet, index: int) -> None:
    family, case = supernet.family, golden["cases"][index]
    assert isinstance(family, StyleGAN2)
    assert list(family.full) == golden["full_channels"]
    subnet = family.subnet(case["channels"], case["resolution"])
    r = np.random.RandomState(case["z_seed"])
    z = torch.tensor(r.standard_normal((2, 1, golden["style_dim"])), dtype=torch.float32)[:, 0]
    expected = torch.tensor(golden["images"][f"image_{index}"])
    with torch.no_grad():
        for network in (lambda z: supernet(z, subnet), supernet.extract(subnet)):
            assert (network(z) - expected).abs().max() <= 1e-4 * expected.abs().max()
