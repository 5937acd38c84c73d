"""Inputs made of pictures."""

from __future__ import annotations

import pytest
import torch

from gan_compress.pix2pix.pairs import (
    PAIRS,
    SAME,
    SIGMA,
    blur,
    get_pairs,
    grey,
    psnr,
    small,
    to_bytes,
)
from nas.errors import UsageError


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", [name for name in PAIRS if name != SAME])
def test_inputs_have_the_pictures_shape_and_range_and_are_the_same_every_time(name: str, pictures) -> None:
    made = get_pairs(name)(pictures)
    assert made.shape == pictures.shape and made.min() >= -1 and made.max() <= 1
    assert torch.equal(made, get_pairs(name)(pictures)) and not torch.allclose(made, pictures, atol=0.1)
    flat = torch.full((1, 3, 16, 16), 0.25)
    torch.testing.assert_close(get_pairs(name)(flat), flat)


def test_blur_is_a_gaussian() -> None:
    point = torch.zeros(1, 3, 33, 33)
    point[0, 1, 16, 16] = 1
    made = blur(point)
    places = torch.arange(33.0) - 16
    assert made[0, 0].abs().max() == 0 and float(made[0, 1].sum()) == pytest.approx(1)
    assert float((made[0, 1].sum(0) * places.square()).sum()) == pytest.approx(SIGMA**2, rel=0.02)


def test_grey_has_no_colour_and_small_no_detail(pictures) -> None:
    made = grey(pictures)
    assert torch.equal(made[:, 0], made[:, 1]) and torch.equal(made[:, 0], made[:, 2])
    torch.testing.assert_close(
        made[:, 0], 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]
    )
    assert small(pictures).diff(dim=3).abs().mean() < 0.5 * pictures.diff(dim=3).abs().mean()


def test_unknown_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match="choose from blur, grey, small, same"):
        get_pairs("sepia")


def test_peak_signal_to_noise_ratio(pictures) -> None:
    truth = pictures.clamp(-0.5, 0.5)
    torch.testing.assert_close(psnr(truth + 0.2, truth), torch.full((2,), 20.0))  # a tenth of the range
    assert psnr(truth, truth).tolist() == pytest.approx([60, 60])
    torch.testing.assert_close(psnr(torch.full_like(truth, 5), truth), psnr(torch.ones_like(truth), truth))


def test_bytes_and_floats() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_bytes(images.float() / 127.5 - 1), images)


def test_the_same_pictures_are_for_generators_of_other_tasks(pictures) -> None:
    assert get_pairs(SAME)(pictures) is pictures
