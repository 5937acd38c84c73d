"""A classifier and a denoiser: what is general is tested on both."""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffusion.denoisers.unet import diffusion_unet
from nas.elastic import Inputs, Supernet
from nas.families.mobilenetv3 import mbv3_small_image
from tests.conformance.diffusion import SD2
from tests.conformance.families import randomise


def classifier() -> Supernet:
    """Return a supernet with resolutions, kernels, depths and expansions."""
    torch.manual_seed(0)
    supernet = Supernet(mbv3_small_image(width=0.5))
    randomise(supernet)
    return supernet.eval()


def denoiser() -> Supernet:
    """Return a supernet of a UNet with a mid block that can go, groups, heads, widths, and steps that no pass has."""
    torch.manual_seed(0)
    supernet = Supernet(diffusion_unet(SD2, tokens=5, resnet=(0.5, 1), sampling={"steps": [4, 8]}))
    randomise(supernet)
    return supernet


KINDS: dict[str, Callable[[], Supernet]] = {"classifier": classifier, "denoiser": denoiser}


def examples(supernet: Supernet, count: int = 3) -> list[tuple[Inputs, torch.Tensor]]:
    """Return inputs and targets: of a denoiser at timesteps of all over the schedule."""
    largest = supernet.space.largest()
    inputs = supernet.family.example_input(largest, 2)
    generator = torch.Generator().manual_seed(1)
    found = []
    for step in range(count):
        if isinstance(inputs, torch.Tensor):
            x: Inputs = torch.randn(inputs.shape, generator=generator)
            target = torch.arange(2) + step
        else:
            x = {**inputs, "timestep": torch.full((2,), 100.0 + 300 * step)}
            target = torch.randn(2, 4, 8, 8, generator=generator)
        found.append((x, target))
    return found
