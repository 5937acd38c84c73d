from __future__ import annotations

import pytest
import torch

from diffusion.pipeline.parts.autoencoder import PatchAutoencoder, fit_patches
from nas.errors import UsageError
from tests.diffusion.small import tiny_images


def rebuilt(model: PatchAutoencoder, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(images).sample


def test_with_all_components_nothing_is_lost():
    images = tiny_images()
    model = fit_patches([images], latent_channels=48, size=16)
    torch.testing.assert_close(rebuilt(model, images), images, atol=1e-4, rtol=0)


def test_fewer_components_leave_the_least_error_that_a_projection_can():
    images = tiny_images()
    rows = torch.nn.functional.unfold(images, 4, stride=4).transpose(1, 2).reshape(-1, 48)
    mean = images.mean((0, 2, 3)).repeat_interleave(16)
    best = torch.linalg.svdvals((rows - mean).double())[6:].square().sum() / rows.numel()
    error = (rebuilt(fit_patches([images], latent_channels=6, size=16), images) - images).square().mean()
    assert float(error) == pytest.approx(float(best), rel=1e-3)


def test_whitening_changes_latents_and_not_images():
    images = tiny_images()
    plain, white = (fit_patches([images], latent_channels=8, whiten=w, size=16) for w in (0.0, 1.0))
    torch.testing.assert_close(rebuilt(plain, images), rebuilt(white, images), atol=1e-4, rtol=0)
    with torch.no_grad():
        latents, coarse = (each.encode(images, return_dict=False)[0].sample() for each in (white, plain))
    assert latents.shape == (16, 8, 4, 4)
    # Centred by the mean of a colour, not of a patch: not exactly 1.
    torch.testing.assert_close(latents.square().mean((0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)
    assert float(coarse.square().mean()) == pytest.approx(1, abs=0.05)
    assert float(coarse[:, 0].square().mean()) > 10 * float(coarse[:, -1].square().mean())


def test_batches_of_any_size_give_the_same_fit():
    images = tiny_images()
    whole, parts = fit_patches([images], size=16), fit_patches(images.split(3), size=16)
    torch.testing.assert_close(whole.encoder.weight, parts.encoder.weight, atol=1e-3, rtol=1e-3)


def test_a_config_gives_the_same_autoencoder_back(tmp_path):
    images = tiny_images()
    model = fit_patches([images], latent_channels=5, patch=2, size=16)
    model.save_pretrained(tmp_path / "vae")
    again = PatchAutoencoder.from_pretrained(tmp_path / "vae")
    assert torch.equal(rebuilt(model, images), rebuilt(again, images))


@pytest.mark.parametrize(
    ("options", "size", "words"),
    [
        ({"latent_channels": 49}, 16, "expected 1 to 48"),
        ({"patch": 8}, 20, "do not divide into patches of 8"),
    ],
)
def test_what_does_not_fit_is_refused(options, size, words):
    with pytest.raises(UsageError, match=words):
        fit_patches([tiny_images(size=size)], size=size, **options)


def test_no_images_are_refused():
    with pytest.raises(UsageError, match="there are none"):
        fit_patches([], size=16)
