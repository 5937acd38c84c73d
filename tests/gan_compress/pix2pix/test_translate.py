"""`nas gan translate`: pictures of users, whole and degraded first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_compress.pix2pix.apply import (
    contact_sheet,
    find_subnet,
    is_configuration,
    read_whole,
    translate,
    translation_family,
)
from gan_compress.pix2pix.pairs import blur, psnr
from nas.errors import UsageError
from nas.models import Model, load_model
from nas.space import SpaceError
from tests.gan_compress.pix2pix.conftest import save_tiny


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture whose sides are no multiples of 4."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path = tmp_path / "cat.png"
    Image.fromarray(coarse).resize((30, 22), Image.Resampling.BICUBIC).save(path)
    return path


def test_a_picture_keeps_its_size(tiny: Model, picture: Path) -> None:
    given = read_whole(picture)
    assert given.shape == (1, 3, 22, 30) and given.abs().max() <= 1
    family, network = translation_family(tiny), tiny.extract(tiny.space.largest())
    made, took = translate(network, family, given)
    assert made.shape == given.shape and took > 0
    even = given[..., :20, :28]
    assert torch.equal(translate(network, family, even)[0], network(even))
    assert read_whole(picture, 60).shape == (1, 3, 44, 60)


def test_wrong_pictures_cost_one_sentence(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_whole(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UsageError, match="no readable picture"):
        read_whole(tmp_path / "text.png")
    with pytest.raises(UsageError, match="20 × 15 pixels here, but 16 to 2048 a side"):
        read_whole(picture, 20)


def test_a_configuration_names_a_subnet(tiny: Model) -> None:
    assert is_configuration("4_5_6_7_8_4_5_6")
    assert set(find_subnet(tiny, "4_5_6_7_8_4_5_6")) == set(tiny.space.names)
    assert not is_configuration("largest") and not is_configuration("my_run")
    with pytest.raises(SpaceError):
        find_subnet(tiny, "9_5_6_7_8_4_5_6")


def test_a_sheet_has_a_row_for_each_list() -> None:
    black, grey = np.zeros((4, 6, 3), np.uint8), np.full((8, 2, 3), 99, np.uint8)
    page = contact_sheet([[black, black], [grey]], zoom=2)
    assert page.shape == (8 + 2 + 16, 12 + 2 + 12, 3)
    assert not page[:8, :12].any() and (page[10:, :4] == 99).all() and (page[:8, 12:14] == 255).all()


def test_models_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="translates no images"):
        translation_family(load_model("mbv3-cifar10"))


def test_the_command_writes_the_picture(
    tiny_path: Path, picture: Path, tmp_path: Path, nas_run: Callable
) -> None:
    out = tmp_path / "sharp.png"
    done = nas_run("gan", "translate", picture, "--model", tiny_path, "--no-measure", "-o", out)
    assert done.code == 0, done.stderr
    assert "30 × 22" in done.stdout and "PSNR" not in done.stdout
    with Image.open(out) as made:
        assert made.size == (30, 22)
    again = nas_run("gan", "translate", picture, "--model", tiny_path, "--no-measure", "-o", out)
    assert again.code == 2 and "already exists" in again.stderr


def test_with_pairs_a_sheet_shows_input_output_and_truth(
    tiny_path: Path, tiny: Model, picture: Path, tmp_path: Path, nas_run: Callable
) -> None:
    out = tmp_path / "sheet.png"
    subnets = ("largest", "4_4_4_4_4_4_4_4")
    done = nas_run(
        "gan", "translate", picture, picture, "--model", tiny_path, "--pairs", "auto", "--threads", "1",
        "--subnet", subnets[0], "--subnet", subnets[1], "-o", out, "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    with Image.open(out) as made:
        pixels = np.asarray(made)
    assert pixels.shape == (2 * 22 + 2, 4 * 30 + 3 * 2, 3)
    with Image.open(picture) as truth:
        assert (pixels[:22, -30:] == np.asarray(truth)).all()
    given = read_whole(picture)
    network = tiny.extract(tiny.space.largest())
    expected = float(psnr(translate(network, translation_family(tiny), blur(given))[0], given))
    assert answer["images"][0]["psnr_db"] == pytest.approx(expected, rel=1e-5)
    assert answer["subnets"][subnets[1]]["macs"] < answer["subnets"]["largest"]["macs"]
    assert all(each["latency"]["median_ms"] > 0 for each in answer["subnets"].values())


def test_a_folder_gets_every_picture(
    tiny_path: Path, picture: Path, tmp_path: Path, nas_run: Callable
) -> None:
    done = nas_run(
        "gan", "translate", picture, picture, "--model", tiny_path, "--no-measure", "-o", tmp_path / "all"
    )
    assert done.code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["cat-0.png", "cat-1.png"]


def test_wrong_arguments_cost_one_sentence(
    tiny_path: Path, picture: Path, tmp_path: Path, nas_run: Callable
) -> None:
    bare = save_tiny(tmp_path / "bare", pairs=None)
    for arguments, said in (
        (("--model", "mbv3-cifar10"), "translates no images"),
        (("--model", tiny_path, "--pairs", "sepia"), "no pairs 'sepia'"),
        (("--model", bare, "--pairs", "auto"), "does not say what its inputs are made of"),
        (("--model", tiny_path, "--subnet", "0.5"), "there is no subnet '0.5'"),
        (("--model", tiny_path, "--subnet", "5_5"), "no channel configuration"),
        (("--model", tiny_path, "-o", tmp_path / "x.jpg"), ".png"),
    ):
        done = nas_run("gan", "translate", picture, "--no-measure", *arguments)
        assert done.code == 2 and said in done.stderr, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
