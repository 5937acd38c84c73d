"""Directions: the linear models find what is there, say how well, and move images that way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_compress.stylegan2.edit import Directions, find_directions, fit_directions, label_scores
from gan_compress.stylegan2.generate import latents, load_generator, styles, synthesize, unit
from nas.errors import NasError, UsageError
from nas.metrics.features import feature_space
from nas.models import Model

NAMES = ("dark", "bright")


def shaded(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy pictures, uint8 (count, 3, 32, 32), and whether they are bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    noise = 40 * torch.randn(count, 3, 32, 32, generator=generator)
    return (70 + 115 * labels[:, None, None, None] + noise).clamp(0, 255).to(torch.uint8), labels


@pytest.fixture(scope="module")
def found(tiny: Model) -> Directions:
    """Dark and bright as directions of the tiny generator."""
    images, labels = shaded()
    return find_directions(tiny, images, labels, NAMES, samples=300, data="shades")


def test_a_step_raises_a_linear_score_by_one_standard_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    x = torch.randn(2000, 6, generator=generator) * spread
    slope = torch.tensor([0.0, 1.8, 2.4, 0.0, 0.0, 0.0])
    noise = torch.randn(2000, generator=generator)
    vectors, scales, fits = fit_directions(x + 5, torch.stack([x @ slope + 7, noise], 1))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    assert float(scales[0] * vectors[0] @ slope) == pytest.approx(float((x @ slope).std()), rel=0.05)
    along = spread.square() * slope
    assert torch.allclose(vectors[0], along / along.norm(), atol=0.05)
    assert fits[0] > 0.99 and fits[1] < 0.05


def test_scores_tell_labels_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 3
    features = torch.eye(3)[labels] * 4 + torch.randn(90, 3, generator=generator)
    scores = label_scores(features, labels, ("a", "b", "c"))(features)
    assert scores.shape == (90, 3)
    assert (scores.argmax(1) == labels).float().mean() > 0.9
    two = label_scores(features[labels < 2], labels[labels < 2], ("a", "b", "c"))(features)
    assert torch.equal(two[:, 0], -two[:, 1]) and (two[:, 2] == 0).all()


def test_a_direction_raises_the_score_of_its_label(tiny: Model, found: Directions) -> None:
    assert found.labels == NAMES
    assert torch.allclose(found.vectors[0], -found.vectors[1], atol=1e-5)
    assert found.fits.min() > 0.2
    images, labels = shaded()
    space = feature_space()
    with torch.no_grad():
        score = label_scores(space.vectors(images.float() / 127.5 - 1), labels, NAMES)
        network = load_generator(tiny, tiny.space.largest())
        start = styles(network, latents(tiny, range(1000, 1040)))
        bright = [
            float(score(space.vectors(2 * unit(tiny, synthesize(network, moved)) - 1))[:, 1].mean())
            for moved in (found.apply(start, "bright", amount) for amount in (-1.0, 0.0, 1.0))
        ]
    assert bright[0] < bright[1] < bright[2]


def test_the_amount_counts_steps_in_every_layer(found: Directions) -> None:
    start = torch.zeros(2, 6, 16)
    moved = found.apply(start, "dark", 2.0)
    assert torch.allclose(moved.norm(dim=2), 2 * found.scales[0].expand(2, 6))
    assert torch.allclose(found.apply(moved, "dark", -2.0), start, atol=1e-6)


def test_the_same_seed_gives_the_same_directions(tiny: Model) -> None:
    images, labels = shaded(20)
    first, again, other = (
        find_directions(tiny, images, labels, NAMES, samples=60, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize(
    ("present", "told"), [([1], "the only label is bright"), ([], "there are no labels")]
)
def test_one_label_is_not_enough(tiny: Model, present: list[int], told: str) -> None:
    images, labels = shaded(20)
    kept = torch.isin(labels, torch.tensor(present, dtype=torch.long))
    with pytest.raises(UsageError, match=f"two labels or more, but {told}; give"):
        find_directions(tiny, images[kept], labels[kept], NAMES, samples=60)


def test_directions_are_read_from_the_model_folder(tiny: Model, found: Directions, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tiny has no directions.safetensors; find its directions with"):
        Directions.load(tiny)
    found.save(tmp_path / "mine.safetensors")
    again = Directions.load(tiny, tmp_path / "mine.safetensors")
    assert again.labels == NAMES and again.info["data"] == "shades"
    for name in ("vectors", "scales", "fits"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    with pytest.raises(UsageError, match="no direction 'brigt'; did you mean 'bright'"):
        again.index("brigt")


def test_directions_of_another_model_are_refused(tiny: Model, found: Directions, tmp_path: Path) -> None:
    other = Directions(
        found.labels, found.vectors, found.scales, found.fits, {"weights": "x", "model": "faces"}
    )
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(NasError, match="made with other weights of faces than tiny has"):
        Directions.load(tiny, tmp_path / "other.safetensors")
    short = Directions(found.labels, found.vectors[:1], found.scales, found.fits, found.info)
    short.save(tmp_path / "short.safetensors")
    with pytest.raises(UsageError, match="holds no directions of tiny"):
        Directions.load(tiny, tmp_path / "short.safetensors")
