"""Latents, truncation, interpolation and picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_compress.pictures import read_picture, write_frames
from gan_compress.stylegan2.generate import (
    class_index,
    class_shares,
    difference,
    generator_family,
    interpolate,
    latents,
    load_generator,
    mean_style,
    ratio_subnet,
    styles,
    synthesize,
    to_pixels,
)
from nas.errors import UsageError
from nas.models import Model, load_model
from nas.pictures import grid


def test_a_latent_depends_on_its_seed_alone(tiny: Model) -> None:
    alone, among = latents(tiny, [5]), latents(tiny, [3, 5, 9])
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0, :16], among[1, :16])
    assert among[:, 16:].argmax(1).tolist() == [0, 2, 0]
    assert latents(tiny, [3, 5], [1, None])[:, 16:].argmax(1).tolist() == [1, 2]


def test_truncation_goes_towards_the_mean_of_the_own_class(tiny: Model) -> None:
    network = load_generator(tiny, tiny.space.largest())
    inputs = latents(tiny, [0, 1, 3])
    means = torch.stack([mean_style(network, shares) for shares in class_shares(tiny, [0, 1, 0])])
    assert not torch.allclose(means[0], means[1], atol=1e-3)
    assert torch.allclose(styles(network, inputs, 0.0), means, atol=1e-6)
    full = network.map(inputs)
    assert torch.equal(styles(network, inputs), full)
    assert torch.allclose(styles(network, inputs, 0.5), (means + full) / 2, atol=1e-6)


def test_every_subnet_has_the_same_styles(tiny: Model) -> None:
    inputs = latents(tiny, [0, 1])
    full, small = (load_generator(tiny, s) for s in (tiny.space.largest(), tiny.space.smallest()))
    assert torch.equal(styles(full, inputs, 0.7), styles(small, inputs, 0.7))


def test_widths_name_subnets(tiny: Model) -> None:
    family = generator_family(tiny)
    assert ratio_subnet(tiny, "1") == tiny.space.largest()
    assert ratio_subnet(tiny, "0.25@8") == tiny.space.smallest()
    assert ratio_subnet(tiny, ".5") == family.uniform(0.5)
    assert family.resolution_of(ratio_subnet(tiny, "0.5@8")) == 8
    with pytest.raises(UsageError, match=r"0\.6 is no width of tiny; give 0\.25, 0\.5, 0\.75 or 1"):
        ratio_subnet(tiny, "0.6")
    with pytest.raises(UsageError, match="no images of 32 pixels; give 8 or 16"):
        ratio_subnet(tiny, "0.5@32")


def test_classes_by_name_and_number(tiny: Model) -> None:
    assert class_index(tiny, "dog") == 1 == class_index(tiny, "1")
    with pytest.raises(UsageError, match="no class 'dgo'; did you mean 'dog'"):
        class_index(tiny, "dgo")
    with pytest.raises(UsageError, match="the classes are cat, dog, bird"):
        class_index(tiny, "3")


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(UsageError, match="mbv3-cifar10 is a model for classification and no generator"):
        generator_family(load_model("mbv3-cifar10"))


def test_interpolation_passes_its_points() -> None:
    points = torch.tensor([[0.0, 0.0], [4.0, 8.0], [4.0, 0.0]])
    open_path = interpolate(points, 4)
    assert open_path.shape == (9, 2)
    assert torch.equal(open_path[::4], points)
    assert open_path[1].tolist() == [1.0, 2.0]
    loop = interpolate(points, 4, loop=True)
    assert loop.shape == (12, 2)
    assert loop[-1].tolist() == [1.0, 0.0]
    assert interpolate(points[:, None].expand(3, 5, 2), 2).shape == (5, 5, 2)


def test_pixels_follow_mean_and_std(tiny: Model) -> None:
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert to_pixels(tiny, images)[:, 0, 0, 0].tolist() == [0, 0, 128, 255]
    assert to_pixels(tiny, images, 8).shape == (4, 8, 8, 3)


def test_images_differ_from_others_and_not_from_themselves(tiny: Model) -> None:
    network = load_generator(tiny, tiny.space.largest())
    first, second = synthesize(network, styles(network, latents(tiny, [0, 1]))).split(1)
    assert difference(tiny, first, first) == (0.0, 0.0)
    distance, error = difference(tiny, first[..., ::2, ::2], second)
    assert distance > 0.01 and error > 0.01


def test_a_grid_places_pictures_row_by_row() -> None:
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    contact_sheet = grid(pictures, 2, gap=1, zoom=2)
    assert contact_sheet.shape == (2 * 4 + 1, 2 * 6 + 1, 3)
    assert contact_sheet[0, 0, 0] == 10 and contact_sheet[3, 12, 0] == 20 and contact_sheet[5, 5, 0] == 30
    assert contact_sheet[4].min() == 255 and contact_sheet[5:, 7:].min() == 255


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_moving_pictures_keep_their_frames(tmp_path: Path, suffix: str) -> None:
    frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 120, 240)]
    write_frames(tmp_path / f"moving{suffix}", frames, frames_per_second=5)
    with Image.open(tmp_path / f"moving{suffix}") as image:
        assert image.n_frames == 3  # pyright: ignore[reportAttributeAccessIssue]
        assert image.info["duration"] == 200 and image.info["loop"] == 0
        image.seek(1)
        assert image.convert("RGB").getpixel((0, 0)) == (120, 120, 120)
    assert [path.name for path in tmp_path.iterdir()] == [f"moving{suffix}"]


def test_a_strip_stands_side_by_side(tmp_path: Path) -> None:
    frames = [np.full((4, 4, 3), value, np.uint8) for value in (0, 120)]
    write_frames(tmp_path / "strip.png", frames)
    with Image.open(tmp_path / "strip.png") as image:
        assert image.size == (10, 4)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    frames = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 7), np.uint8)]
    with pytest.raises((TypeError, ValueError)):
        write_frames(tmp_path / "broken.gif", frames)
    assert not [*tmp_path.iterdir()]


def test_pictures_of_every_kind_are_read(tmp_path: Path) -> None:
    square = Image.new("RGB", (60, 20), (255, 0, 0))
    square.paste((0, 0, 255), (20, 0, 40, 20))
    square.save(tmp_path / "wide.png")
    wide = read_picture(tmp_path / "wide.png", 16)
    assert wide.shape == (1, 3, 16, 16)
    assert wide[0, 2, 8, 8] == 1 and wide[0, 0, 8, 8] == 0

    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", 16) == 1).all()

    first, second = Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 255)
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert (read_picture(tmp_path / "moving.gif", 16) == 0).all()

    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert abs(float(read_picture(tmp_path / "deep.png", 16).mean()) - 0.5) < 0.01


def test_what_is_no_picture_costs_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    for name, words in {
        "text.png": "no readable picture",
        "half.png": "no readable picture",
        "dot.png": "1 × 1 pixels",
        "none.png": "does not exist",
        ".": "is a folder",
    }.items():
        with pytest.raises(UsageError, match=words):
            read_picture(tmp_path / name, 16)
