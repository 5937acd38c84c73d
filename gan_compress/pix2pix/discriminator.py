"""The discriminator of pix2pix (Isola et al. 2017): it sees patches of a picture beside what it was made from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST = 8
"""Layers have at most so many times the first one's channels."""


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches, instance norm between convolutions.

    `layers` convolutions of stride 2, doubling `channels`, then two of stride 1: with 3 a score sees 70 × 70 pixels,
    with 2 it sees 34 × 34.
    """

    def __init__(self, inputs: int, *, channels: int, layers: int) -> None:
        super().__init__()
        widths = [channels * min(2**layer, MOST) for layer in range(layers + 1)]
        modules: list[nn.Module] = [nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for layer in range(1, layers + 1):
            modules += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=2 if layer < layers else 1, padding=1),
                nn.InstanceNorm2d(widths[layer]),
                nn.LeakyReLU(0.2),
            ]
        self.model = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 4, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, given: Tensor, picture: Tensor) -> Tensor:
        """Return scores (batch, 1, h, w) of pictures made of, or belonging to, what was `given`."""
        return self.model(torch.cat([given, picture], 1))


def discriminator_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's loss of scores: "hinge" (Lim & Ye 2017) or "bce" (logistic)."""
    if kind == "hinge":
        return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


def generator_loss(kind: str, fake: Tensor) -> Tensor:
    """Return the generator's loss of scores of its pictures."""
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()
