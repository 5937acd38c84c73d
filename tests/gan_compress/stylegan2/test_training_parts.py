"""Discriminator, differentiable augmentation and losses."""

from __future__ import annotations

import pytest
import torch

from gan_compress.stylegan2.discriminator import Discriminator, EqualConv
from gan_compress.stylegan2.training.augment import POLICIES, cutout, diff_augment, translation
from gan_compress.stylegan2.training.losses import discriminator_loss, generator_loss, gradient_penalty
from nas.errors import UsageError

CHANNELS = {4: 12, 8: 10, 16: 8}


@pytest.mark.parametrize("size", [4, 8, 16])
def test_every_size_is_scored(size: int) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(16, CHANNELS, classes=3, conditions=5)
    x, shares = torch.randn(6, 3, size, size), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    scores = discriminator(x, shares, torch.rand(5))
    assert scores.shape == (6,)
    assert not torch.allclose(scores, discriminator(x, shares.flip(1), torch.rand(5)))


def test_halving_filters_and_keeps_the_size_even() -> None:
    for kernel in (1, 3):
        layer = EqualConv(2, 5, kernel, down=True)
        assert layer(torch.randn(1, 2, 8, 8)).shape == (1, 5, 4, 4)


def test_sameness_is_seen() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8, CHANNELS)
    features = torch.randn(4, 12, 4, 4)
    assert discriminator._with_deviation(features[:1].repeat(4, 1, 1, 1))[:, -1].max() < 1e-3
    assert discriminator._with_deviation(features)[:, -1].min() > 0.3
    halves = torch.cat([features[:1].repeat(4, 1, 1, 1), torch.randn(4, 12, 4, 4)])
    told = discriminator._with_deviation(halves)[:, -1, 0, 0]
    assert told[:4].max() < 1e-3 and told[4:].min() > 0.3
    assert discriminator._with_deviation(torch.randn(5, 12, 4, 4)).shape == (5, 13, 4, 4)


def test_augmentation_is_differentiable_and_drawn_by_its_generator() -> None:
    x = torch.rand(5, 3, 16, 16, requires_grad=True)
    policy = "color,translation,cutout"
    first = diff_augment(x, policy, torch.Generator().manual_seed(1))
    again = diff_augment(x, policy, torch.Generator().manual_seed(1))
    other = diff_augment(x, policy, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    first.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert diff_augment(x, "") is x
    with pytest.raises(UsageError, match="no augmentation 'blur'; known are color"):
        diff_augment(x, "color,blur")
    assert set(POLICIES) == {"color", "translation", "cutout"}


def test_translation_moves_and_cutout_cuts() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(200, 3, 1, 1) + 1
    moved = translation(x, torch.Generator().manual_seed(0))
    shifts = {tuple((image[0] == 37).nonzero()[0].tolist()) for image in moved}
    assert shifts == {(row, column) for row in (3, 4, 5) for column in (3, 4, 5)}
    holes = (cutout(x, torch.Generator().manual_seed(0)) == 0).sum((1, 2, 3)) / 3
    assert holes.max() == 16
    assert holes.min() >= 4


def test_losses_and_the_gradient_penalty() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5])
    expected = torch.log(1 + torch.exp(-real)).mean() + torch.log(1 + torch.exp(fake)).mean()
    assert torch.isclose(discriminator_loss(real, fake), expected)
    assert torch.isclose(generator_loss(fake), torch.log(1 + torch.exp(-fake)).mean())
    pair = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25])
    expected = torch.log(1 + torch.exp(pair[1] - pair[0])).mean()
    assert torch.isclose(discriminator_loss(*pair, paired=True), expected)
    assert torch.isclose(generator_loss(pair[1], pair[0]), torch.log(1 + torch.exp(pair[0] - pair[1])).mean())
    images = torch.randn(4, 3, 5, 5, requires_grad=True)
    weight = torch.randn(3, 5, 5)
    penalty = gradient_penalty((images * weight).sum((1, 2, 3)), images)
    assert torch.isclose(penalty, weight.square().sum())
