"""Losses of GAN training: the non-saturating game, R1, and distances to a teacher's images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real_b: Tensor, fake_b: Tensor) -> Tensor:
    """Return the logistic loss of scores of real and generated images (Goodfellow et al. 2014)."""
    return F.softplus(-real_b).mean() + F.softplus(fake_b).mean()


def generator_loss(fake_b: Tensor) -> Tensor:
    """Return the non-saturating loss of scores of generated images."""
    return F.softplus(-fake_b).mean()


def r1_penalty(score_b: Tensor, images: Tensor) -> Tensor:
    """Return the mean squared gradient of the scores of real `images` (Mescheder et al. 2018)."""
    (gradient,) = torch.autograd.grad(score_b.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
