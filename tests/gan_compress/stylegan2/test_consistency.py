"""Consistency of subnets with the full generator: what the figures must be where they are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from gan_compress.cli import group
from gan_compress.stylegan2.consistency import Labelled, measure_consistency, uniform_subnets
from gan_compress.stylegan2.generate import latents, load_generator
from nas.errors import UsageError
from nas.models import Model, load_model


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 16, 16), dtype=torch.uint8, generator=generator)
    images[15:] //= 8
    return Labelled(images, torch.arange(30) // 15, ("bright", "dark"))


def test_every_width_at_every_resolution(tiny: Model) -> None:
    found = uniform_subnets(tiny)
    assert next(iter(found.values())) == tiny.space.largest()
    assert {name.partition("@")[2] for name in found} == {"16", "8"}
    assert len(found) == len(set(found.values())) >= 6


def test_the_full_generator_agrees_with_itself(tiny: Model, labelled: Labelled) -> None:
    (row,) = measure_consistency(tiny, {"full": tiny.space.largest()}, labelled, count=20)
    assert row.distance == pytest.approx(0, abs=1e-9)
    assert row.pixel_error == 0
    assert row.agreement == 1
    assert row.kid is not None
    assert row.path_length > 0
    assert row.path_spread > 0


def test_narrower_is_farther_and_cheaper(tiny: Model) -> None:
    subnets = {name: subnet for name, subnet in uniform_subnets(tiny).items() if name.endswith("@16")}
    rows = measure_consistency(tiny, subnets, count=20)
    assert rows[-1].distance > rows[0].distance
    assert rows[-1].pixel_error > rows[0].pixel_error
    assert rows[-1].macs < rows[0].macs
    assert rows[-1].agreement is rows[-1].kid is None


def test_pixel_error_is_that_of_the_images(tiny: Model) -> None:
    small, inputs = tiny.space.smallest(), latents(tiny, range(6))
    (row,) = measure_consistency(tiny, {"small": small}, count=6)
    a, b = (load_generator(tiny, subnet)(inputs) for subnet in (small, tiny.space.largest()))
    a = torch.nn.functional.interpolate(a.clamp(-1, 1), size=(16, 16), mode="bilinear")
    wanted = (((a - b.clamp(-1, 1)) / 2) ** 2).mean().sqrt()
    assert row.pixel_error == pytest.approx(float(wanted), rel=1e-5)


def test_path_length_does_not_depend_on_the_step(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    subnets = {"full": tiny.space.largest()}
    (first,) = measure_consistency(tiny, subnets, count=10)
    monkeypatch.setattr("gan_compress.stylegan2.consistency._STEP", 5e-3)
    (second,) = measure_consistency(tiny, subnets, count=10)
    assert second.path_length == pytest.approx(first.path_length, rel=0.1)


def test_the_command_writes_its_table(tiny_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    arguments = [
        "consistency",
        "--model",
        str(tiny_path),
        "--samples",
        "10",
        "--data",
        "digits",
        "--limit",
        "60",
    ]
    result = CliRunner().invoke(group, [*arguments, "--output", str(file), "--json"])
    assert result.exit_code == 0, result.exception
    rows = json.loads(result.stdout)["subnets"]
    with open(file, newline="") as opened:
        written = list(csv.DictReader(opened))
    assert (
        [row["name"] for row in rows]
        == [row["name"] for row in written]
        == list(uniform_subnets(load_model(tiny_path)))
    )
    assert all(0 <= row["agreement"] <= 1 for row in rows)
    again = CliRunner().invoke(group, [*arguments, "--output", str(file)])
    assert isinstance(again.exception, UsageError)
    assert "already exists" in str(again.exception)


def test_images_without_labels_give_the_kernel_distance_alone(
    tiny: Model, tiny_path: Path, labelled: Labelled, tmp_path: Path
) -> None:
    none = Labelled(labelled.images, torch.zeros(30, dtype=torch.long), ())
    full = {"full": tiny.space.largest()}
    (row,), (known,) = (measure_consistency(tiny, full, given, count=20) for given in (none, labelled))
    assert row.agreement is None and known.agreement == 1
    assert row.kid == known.kid is not None
    for number, image in enumerate(labelled.images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
    arguments = ["consistency", "--model", str(tiny_path), "--data", str(tmp_path), "--samples", "4"]
    result = CliRunner().invoke(group, [*arguments, "--subnet", "largest"])
    assert result.exit_code == 0, result.exception
    assert "KID" in result.stdout and "same label" not in result.stdout
