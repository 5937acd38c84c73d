"""How much each channel of a generator matters (Anycost GAN, Lin et al. 2021)."""

from __future__ import annotations

import torch

from nas.elastic import Supernet


@torch.no_grad()
def style_importance(supernet: Supernet, count: int = 256, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return scores for `Supernet.sort_channels`, by elastic axis: weight magnitude times style magnitude.

    Every convolution that reads a channel adds the summed magnitude of its weights times the mean magnitude of the
    styles of `count` latents, relative to its mean over channels.
    """
    family, network = supernet.family, supernet.network
    largest, device = family.space.largest(), next(network.parameters()).device
    z_bi = family.example_input(largest, count)
    width = z_bi.shape[1] - getattr(family, "classes", 0)
    z_bi[:, :width] = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    style_bs = network.map(z_bi.to(device))  # pyright: ignore[reportCallIssue]
    total: dict[str, torch.Tensor] = {}
    for part in family.parts:
        if (layout := part.layouts.get("conv.weight")) is None:
            continue
        conv = network.get_submodule(f"{part.name}.conv")
        styles_i = conv.modulation(style_bs).abs().mean(0)  # pyright: ignore[reportCallIssue]
        scores = conv.weight.abs().sum((0, 1, 3, 4)).double() * styles_i.double()  # pyright: ignore
        for name, score in layout.axes[2].importance(scores / scores.mean(), largest).items():
            total[name] = total[name] + score if name in total else score
    return total
