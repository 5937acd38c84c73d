"""`nas prune`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import nas
from nas.cli import cli
from nas.elastic import Supernet
from nas.families.mobilenetv3 import mbv3_small_image
from nas.models import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "small"
    supernet = Supernet(mbv3_small_image(width=0.5)).eval()
    classes = [str(number) for number in range(10)]
    save_model(folder, supernet, name="small", classes=classes, mean=[0.5] * 3, std=[0.25] * 3)
    return folder


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["prune", *words])
    return done.exit_code, done.stdout, str(done.exception or "") + done.stderr


def test_a_limit_is_kept_and_the_subnet_exported(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "smaller"
    code, out, _ = run(str(model), "--macs", "60%", "--samples", "4", "--output", str(folder), "--json")
    found = json.loads(out)
    assert code == 0 and found["after"]["macs"] <= 0.6 * found["before"]["macs"]
    network = nas.load(folder)
    assert isinstance(network, torch.nn.Module)
    params = sum(parameter.numel() for parameter in network.parameters())
    assert params == found["after"]["params"] and found["importance"] == "output"


def test_the_sensitivity_alone_is_a_table(model: Path) -> None:
    code, out, _ = run(str(model), "--sensitivity", "--samples", "2", "--importance", "l1")
    assert code == 0 and "stage" in out and "MACs saved" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "how small"),
        (("--macs", "60%", "--importance", "taylor"), "--data"),
        (("--macs", "60%", "--importance", "nosuch"), "choose from"),
        (("--subnet", "nosuch"), "half"),
    ],
)
def test_wrong_input_costs_a_sentence(model: Path, words: tuple[str, ...], why: str) -> None:
    code, _, said = run(str(model), *words)
    assert code != 0 and why in said


def test_a_pipeline_is_sent_to_its_command() -> None:
    code, _, said = run("tiny-sd-cifar10", "--macs", "60%")
    assert code != 0 and "nas diffusion prune" in said
