"""Checkpoints tell their family's options, and `nas import` makes a model of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_compress.stylegan2.family import anycost
from nas.cli.models.import_ import command
from nas.elastic import Supernet
from nas.errors import NasError
from nas.models import load_model


@settings(max_examples=30, deadline=None)
@given(
    resolution=st.sampled_from([8, 16, 32, 64]),
    multiplier=st.floats(0.005, 2),
    cap=st.integers(4, 512),
    mapping=st.integers(1, 8),
    classes=st.integers(0, 4),
)
def test_options_make_the_same_network(
    resolution: int, multiplier: float, cap: int, mapping: int, classes: int
) -> None:
    given = {
        "resolution": resolution,
        "multiplier": multiplier,
        "cap": cap,
        "mapping": mapping,
        "classes": classes,
    }
    with torch.device("meta"):
        state = anycost(**given, style=8).build(anycost(**given, style=8).space.largest()).state_dict()
        told = anycost(**anycost().published_options(state))  # pyright: ignore[reportArgumentType]
        again = told.build(told.space.largest()).state_dict()
    assert {key: tensor.shape for key, tensor in again.items()} == {k: t.shape for k, t in state.items()}


@pytest.mark.parametrize(
    ("resolution", "multiplier"), [(64, 0.5), (256, 1.0), (256, 2.0), (1024, 2.0), (128, 0.25)]
)
def test_published_generators_have_their_options(resolution: int, multiplier: float) -> None:
    family = anycost(resolution, multiplier)
    with torch.device("meta"):
        state = family.build(family.space.largest()).state_dict()
    told = anycost(smallest=family.options["smallest"], **family.published_options(state))  # pyright: ignore
    assert told.options == family.options
    assert told.space.digest == family.space.digest


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(Supernet(anycost(16, 0.02, style=16, cap=16)).network.state_dict())


def test_a_checkpoint_becomes_a_model(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"g_ema": state, "latent_avg": torch.zeros(16)}, tmp_path / "faces.pt")
    arguments = [
        str(tmp_path / "faces.pt"),
        "--family",
        "anycost",
        "--output",
        str(tmp_path / "faces"),
        "--json",
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.exception
    model = load_model(json.loads(result.stdout)["model"])
    assert model.mean == model.std == (0.5, 0.5, 0.5)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.supernet.network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: {f"synthesis.{key}": tensor for key, tensor in s.items()},
            "lacks input.input and 3 more tensors",
        ),
        (
            lambda s: {key: t for key, t in s.items() if key != "convs.1.conv.weight"},
            "lacks convs.1.conv.weight",
        ),
        (lambda s: {**s, "extra.weight": torch.zeros(1)}, "has extra.weight, which this network has not"),
        (
            lambda s: {key: t for key, t in s.items() if not key.startswith("convs.3.")},
            "layers, but two for each",
        ),
        (
            lambda s: {k: t[:, :8] if k == "convs.0.conv.weight" else t for k, t in s.items()},
            "not a subnet of it",
        ),
        (lambda s: {k: t[:, :, :2] if k == "convs.1.conv.weight" else t for k, t in s.items()}, "has shape"),
    ],
)
def test_another_layout_is_refused(state: dict, change, words: str, tmp_path: Path) -> None:
    torch.save(change(state), tmp_path / "other.pt")
    arguments = [str(tmp_path / "other.pt"), "--family", "anycost", "--output", str(tmp_path / "other")]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, NasError)
    assert words in str(result.exception)
    assert not (tmp_path / "other").exists()
