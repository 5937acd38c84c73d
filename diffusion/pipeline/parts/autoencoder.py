"""A patch autoencoder in closed form: principal components of image patches, as one convolution each way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from nas.errors import UsageError


@dataclass
class EncodedImages:
    """What `encode` returns: a distribution that is one point, as pipelines expect it."""

    latent_dist: Point


@dataclass
class Point:
    """A distribution of one value."""

    mean: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return the value."""
        return self.mean

    def mode(self) -> Tensor:
        """Return the value."""
        return self.mean


@dataclass
class Decoded:
    """What `decode` returns: images (batch, 3, h, w), -1 to 1 and a little beyond."""

    sample: Tensor


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Images (batch, 3, h, w), -1 to 1, to latents (batch, latent_channels, h / patch, w / patch) and back.

    `StableDiffusionPipeline` takes it as `vae`: `block_out_channels` says nothing but how many times the edge is
    halved. A fresh one is zero until `fit_patches` or a file gives its weights.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        patch: int = 4,
        latent_channels: int = 16,
        in_channels: int = 3,
        scaling_factor: float = 1.0,
        sample_size: int = 32,
        block_out_channels: tuple[int, ...] = (16, 16, 16),
    ) -> None:
        super().__init__()
        if 2 ** (len(block_out_channels) - 1) != patch:
            raise UsageError(
                f"patch is {patch}, but block_out_channels has {len(block_out_channels)} entries; a patch of 2, 4 "
                "or 8 goes with 2, 3 or 4"
            )
        self.encoder = nn.Conv2d(in_channels, latent_channels, patch, patch)
        self.decoder = nn.ConvTranspose2d(latent_channels, in_channels, patch, patch)
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Return the latents of images: `EncodedImages`, or its parts as a tuple."""
        point = Point(self.encoder(x))
        return EncodedImages(point) if return_dict else (point,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """Return the images of latents: `Decoded`, or its part as a tuple."""
        images = self.decoder(z)
        return Decoded(images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> Any:
        """Return the images that are left of `sample` after encoding and decoding."""
        return self.decode(self.encoder(sample), return_dict)


# A pipeline's model_index.json names the module of a class, and users import only the package.
PatchAutoencoder.__module__ = "diffusion"


def fit_patches(
    images: Iterable[Tensor],
    *,
    patch: int = 4,
    latent_channels: int = 16,
    whiten: float = 0.5,
    size: int = 32,
) -> PatchAutoencoder:
    """Fit the autoencoder to images: float batches (n, 3, h, w), -1 to 1; the result does not depend on their order.

    The components of largest variance are kept. Component i, of standard deviation s_i, is scaled by s_i ** -whiten,
    then all by one factor, so that latents have variance 1 on average: with 0 squared errors of latents are those of
    pixels (coarse structure dominates), with 1 all components weigh the same. Decoding is the exact inverse on the
    kept components, so the reconstruction does not depend on `whiten`.
    """
    if not 1 <= latent_channels <= 3 * patch**2:
        raise UsageError(
            f"latent_channels is {latent_channels}, expected 1 to {3 * patch**2} for patches of {patch} pixels"
        )
    mean_c, second = _moments(images, patch)
    mean = mean_c.repeat_interleave(patch**2)
    covariance = second - torch.outer(mean, mean)
    variance, vectors = torch.linalg.eigh(covariance)
    variance, basis = variance.flip(0)[:latent_channels], vectors.flip(1)[:, :latent_channels].T
    # The sign of an eigenvector is free: the entry of largest size is made positive.
    basis = basis * basis.gather(1, basis.abs().argmax(1, keepdim=True)).sign()
    scale = variance.clamp(min=1e-8).sqrt() ** -whiten
    scale = scale / (variance * scale**2).mean().sqrt()
    model = PatchAutoencoder(
        patch, latent_channels, sample_size=size, block_out_channels=(latent_channels,) * (patch.bit_length())
    )
    shape = (latent_channels, 3, patch, patch)
    with torch.no_grad():
        model.encoder.weight.copy_((basis * scale[:, None]).view(shape))
        assert model.encoder.bias is not None
        assert model.decoder.bias is not None
        model.encoder.bias.copy_(-(basis @ mean) * scale)
        model.decoder.weight.copy_((basis / scale[:, None]).view(shape))
        model.decoder.bias.copy_(mean_c)
    return model


def _moments(images: Iterable[Tensor], patch: int) -> tuple[Tensor, Tensor]:
    """Return the mean by channel (3,) and the second moments of patches about the mean of their channel."""
    count, total = 0, torch.zeros(3, dtype=torch.float64)
    products = torch.zeros(3 * patch**2, 3 * patch**2, dtype=torch.float64)
    for batch in images:
        if batch.shape[-1] % patch or batch.shape[-2] % patch:
            raise UsageError(
                f"images of {batch.shape[-1]} × {batch.shape[-2]} pixels do not divide into patches of {patch}; "
                "choose another size or patch"
            )
        rows = F.unfold(batch.float(), patch, stride=patch).transpose(1, 2).reshape(-1, 3 * patch**2)
        # Products of one batch are exact enough in float; their sum is not.
        products += (rows.T @ rows).double().cpu()
        total += rows.view(len(rows), 3, -1).sum((0, 2), dtype=torch.float64).cpu()
        count += len(rows)
    if not count or not math.isfinite(float(total.sum())):
        raise UsageError("the autoencoder is fitted to images, but there are none or they are not finite")
    return total / (count * patch**2), products / count
