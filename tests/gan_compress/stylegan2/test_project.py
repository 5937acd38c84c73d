"""Projection: it finds a picture's style, the same one again, and shares it with small generators."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gan_compress.stylegan2.family import anycost
from gan_compress.stylegan2.generate import latents, load_generator, ratio_subnet, styles, synthesize, unit
from gan_compress.stylegan2.projection import Projection, ProjectionSettings, project
from gan_compress.stylegan2.tensors import model_of
from nas.elastic import Supernet
from nas.errors import NasError, UsageError
from nas.models import Model, load_model, save_model

SHORT = ProjectionSettings(steps=12, polish=4)


@pytest.fixture(scope="module")
def picture(tiny: Model) -> Tensor:
    """A picture that the generator can make: seed 3, of class 0."""
    network = load_generator(tiny, tiny.space.largest())
    return unit(tiny, synthesize(network, styles(network, latents(tiny, [3]), 0.8))).clamp(0, 1)


@pytest.fixture(scope="module")
def short(tiny: Model, picture: Tensor) -> Projection:
    """A short projection for the full generator and a small one."""
    return project(tiny, picture, {"0.25": ratio_subnet(tiny, "0.25@8")}, settings=SHORT)


def loss(projection: Projection) -> float:
    return sum(fit.distance + 10 * fit.pixel_error**2 for fit in projection.fits)


def test_the_search_comes_nearer_to_the_picture(tiny: Model, picture: Tensor, short: Projection) -> None:
    small = {"0.25": ratio_subnet(tiny, "0.25@8")}
    start = project(tiny, picture, small, settings=ProjectionSettings(steps=0, polish=0))
    assert [fit.network for fit in short.fits] == ["full", "0.25"]
    assert short.styles.shape == (1, 16)
    assert loss(short) < 0.9 * loss(start)


def test_polishing_only_improves(tiny: Model, picture: Tensor) -> None:
    rough = project(tiny, picture, settings=ProjectionSettings(steps=4, polish=0))
    fine = project(tiny, picture, settings=ProjectionSettings(steps=4, polish=6))
    assert loss(fine) < loss(rough)


def test_the_joint_search_serves_the_small_generator(tiny: Model, picture: Tensor, short: Projection) -> None:
    from gan_compress.stylegan2.projection import _Loss

    small = load_generator(tiny, ratio_subnet(tiny, "0.25@8"))
    alone = project(tiny, picture, settings=SHORT)
    (fit,) = _Loss(tiny, {"0.25": small}, picture, 10.0).fits(alone.styles)
    joint = short.fits[1]
    assert joint.distance + 10 * joint.pixel_error**2 < fit.distance + 10 * fit.pixel_error**2


def test_the_seed_decides_and_nothing_else(tiny: Model, picture: Tensor) -> None:
    settings, threads = ProjectionSettings(steps=3, polish=2), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(1)
        first = project(tiny, picture, settings=settings, seed=1)
        state = torch.random.get_rng_state()
        torch.manual_seed(2)
        again = project(tiny, picture, settings=settings, seed=1)
        other = project(tiny, picture, settings=settings, seed=2)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first.styles, again.styles)
    assert not torch.equal(first.styles, other.styles)
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_style_for_each_layer(tiny: Model, picture: Tensor) -> None:
    found = project(
        tiny,
        picture,
        {"small": tiny.space.smallest()},
        settings=ProjectionSettings(steps=8, polish=0, per_layer=True),
    )
    assert found.styles.shape == (1, 6, 16)
    assert not torch.equal(found.styles[:, 0], found.styles[:, 1])


def test_the_class_is_the_given_one_or_the_nearest(tiny: Model, picture: Tensor, short: Projection) -> None:
    given = project(tiny, picture, label=2, settings=ProjectionSettings(steps=0, polish=0))
    assert given.info["class"] == "bird"
    assert short.info["class"] in tiny.classes


def test_a_generator_without_classes(tmp_path: Path) -> None:
    family = anycost(resolution=16, multiplier=1 / 64, style=8, cap=8, smallest=16)
    save_model(tmp_path / "plain", Supernet(family), name="plain", classes=[], mean=[0.5] * 3, std=[0.5] * 3)
    model = load_model(tmp_path / "plain")
    found = project(model, torch.rand(1, 3, 16, 16), settings=ProjectionSettings(steps=2, polish=2))
    assert found.styles.shape == (1, 8) and found.info["class"] is None


def test_a_loss_that_is_no_number_stops_the_search(tiny: Model, picture: Tensor) -> None:
    with pytest.raises(NasError, match="no number any more; give a lower --rate"):
        project(tiny, picture * float("nan"), settings=SHORT)


def test_a_projection_is_what_was_saved(tiny: Model, short: Projection, tmp_path: Path) -> None:
    short.save(tmp_path / "found.safetensors")
    again = Projection.load(tmp_path / "found.safetensors", tiny)
    assert torch.equal(again.styles, short.styles)
    assert again.fits == short.fits
    assert again.info["subnets"]["0.25"] == ratio_subnet(tiny, "0.25@8").to_dict()
    assert again.info["steps"] == 12 and again.info["seed"] == 0


def test_a_projection_names_its_model(
    tiny_path: Path, short: Projection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short.save(tmp_path / "found.safetensors")
    assert model_of(tmp_path / "found.safetensors") is None
    shutil.copytree(tiny_path, tmp_path / "cache" / "models" / "tiny")
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path / "cache"))
    assert model_of(tmp_path / "found.safetensors") == "tiny"
    (tmp_path / "text").write_text("no tensors")
    assert model_of(tmp_path / "text") is None
    assert model_of(tmp_path / "none") is None


def test_foreign_files_cost_one_sentence(tiny: Model, short: Projection, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tensors")
    save_file({"styles": torch.zeros(1, 16)}, tmp_path / "other")
    for name, words in {
        "none": "does not exist",
        "text": "is no projection",
        "other": "is no projection",
    }.items():
        with pytest.raises(UsageError, match=words):
            Projection.load(tmp_path / name, tiny)
    wrong = Projection(torch.zeros(1, 7), (), short.info)
    wrong.save(tmp_path / "wrong")
    with pytest.raises(UsageError, match="holds no styles of tiny"):
        Projection.load(tmp_path / "wrong", tiny)
    Projection(short.styles, (), {**short.info, "weights": "another"}).save(tmp_path / "foreign")
    with pytest.raises(NasError, match="made with other weights of tiny"):
        Projection.load(tmp_path / "foreign", tiny)
