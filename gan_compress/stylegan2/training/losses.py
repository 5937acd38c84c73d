"""Losses of GAN training: the non-saturating loss, R1, and distances to a teacher's images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real_b: Tensor, fake_b: Tensor, *, paired: bool = False) -> Tensor:
    """Return the logistic loss of scores of real and generated images (Goodfellow et al. 2014).

    `paired` compares each generated image with a real one (relativistic pairing, Jolicoeur-Martineau 2019).
    """
    if paired:
        return F.softplus(fake_b - real_b).mean()
    return F.softplus(-real_b).mean() + F.softplus(fake_b).mean()


def generator_loss(fake_b: Tensor, real_b: Tensor | None = None) -> Tensor:
    """Return the non-saturating loss of scores of generated images, with `real_b` the paired one."""
    return F.softplus(-fake_b if real_b is None else real_b - fake_b).mean()


def gradient_penalty(score_b: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared gradient of the scores of `images`: R1 of real ones, R2 of generated ones.

    Mescheder et al. 2018; both together with paired scores: Huang et al. 2024.
    """
    (gradient,) = torch.autograd.grad(score_b.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
