"""The published channel-configuration files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gan_compress.stylegan2.family import StyleGAN2, anycost
from gan_compress.stylegan2.published import read_channel_configs, write_channel_configs
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from tests.conformance.models import Widths


@pytest.fixture(scope="module")
def family() -> StyleGAN2:
    return anycost(16, 0.02, style=16, cap=16)


def test_what_is_written_is_read_again(family: StyleGAN2, tmp_path: Path) -> None:
    supernet = Supernet(family)
    rng = np.random.default_rng(0)
    subnets = {f"{index}G": family.space.sample(rng) for index in range(8)}
    distances = dict.fromkeys(subnets, 0.1)
    write_channel_configs(tmp_path / "configs.json", subnets, supernet, distances)
    assert read_channel_configs(tmp_path / "configs.json", family) == subnets
    entry = json.loads((tmp_path / "configs.json").read_text())["0G"]
    assert len(entry["channels"]) == len(family.full)
    assert entry["macs"] == supernet.count(subnets["0G"]).macs
    assert entry["dist"] == 0.1


def test_a_published_file_is_read(tmp_path: Path) -> None:
    family = anycost(64, 0.5)
    full = {"channels": list(family.full), "dist": 0.0, "res": 64, "macs": 1}
    small = {"channels": [512, 512, 256, 384, 128, 256, 64, 64, 32, 96], "dist": 0.1, "res": 16, "macs": 1}
    (tmp_path / "configs.json").write_text(json.dumps({"full": full, "small": small}))
    subnets = read_channel_configs(tmp_path / "configs.json", family)
    assert subnets["full"] == family.space.largest()
    assert family.channels(subnets["small"]) == (512, 512, 256, 384, 128, 256)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "no channel configurations"),
        ({"a": {"res": 16}}, "'a' lacks its channels or res"),
        ({"a": 3}, "'a' lacks its channels or res"),
        ({"a": {"channels": [1, 2], "res": 16}}, "'a' is no subnet of this generator: 2 channels"),
        ({"a": {"channels": [16] * 6, "res": 17}}, "'a' is no subnet of this generator: resolution"),
    ],
)
def test_a_wrong_file_costs_one_sentence(
    family: StyleGAN2, tmp_path: Path, value: object, words: str
) -> None:
    (tmp_path / "configs.json").write_text(json.dumps(value))
    with pytest.raises(NasError, match=words):
        read_channel_configs(tmp_path / "configs.json", family)


def test_other_families_have_no_channel_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Anycost GAN generator"):
        write_channel_configs(tmp_path / "configs.json", {}, Supernet(Widths()))
