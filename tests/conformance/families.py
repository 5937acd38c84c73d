"""Every family that the conformance suite holds to the promises, and ready supernets of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from nas.elastic import Family, Supernet
from nas.families import get_family
from nas.space import Subnet
from tests.conformance.diffusion import DIT, PIXART, SD1, SD2, SDXL, UNCONDITIONAL
from tests.conformance.models import FeedForward, Generator, Heads, Shortcut, Steps, UNet, Weightless, Widths
from tests.diffusion import kinds
from tests.diffusion.tiny import options

FAMILIES: dict[str, Callable[[], Family]] = {
    "heads": Heads,
    "head-sizes": lambda: Heads(elastic_size=True),
    "geglu": FeedForward,
    "unet": UNet,
    "generator": Generator,
    "weightless": Weightless,
    "shortcut": Shortcut,
    "steps": Steps,
    "widths": Widths,
    # The shipped shapes, with few classes and small images so that the suite is fast.
    "mbv3-small-image": lambda: get_family("mbv3-small-image", classes=7),
    "anycost": lambda: get_family("anycost", resolution=16, multiplier=0.02, style=16, cap=16),
    "anycost-classes": lambda: get_family(
        "anycost", resolution=8, multiplier=0.02, style=16, cap=16, classes=3
    ),
    "gan-compression": lambda: get_family("gan-compression", ngf=8, blocks=4, resolution=16),
    "gan-compression-batch": lambda: get_family(
        "gan-compression", ngf=8, blocks=3, resolution=16, norm="batch", separable=False, dropout=False
    ),
    "unet-sd1": lambda: get_family(
        "diffusion-unet", config=SD1, tokens=5, sampling={"steps": [4, 8], "cache": [3, 2, 1]}
    ),
    "unet-sd2": lambda: get_family("diffusion-unet", config=SD2, tokens=5, merge=(0.5, 0.0)),
    # Every branch may be left out, transformers of several blocks included.
    "unet-sdxl": lambda: get_family(
        "diffusion-unet",
        config=SDXL,
        tokens=5,
        resnet=(0, 0.5, 1),
        cross_attention=(0, 0.5, 1),
        feed_forward=(0, 0.5, 1),
        depth=(0, 0.4, 0.7, 1),
    ),
    "unet-bits": lambda: get_family("diffusion-unet", config=SD1, tokens=5, bits=(4, 8, 32)),
    "unet-unconditional": lambda: get_family("diffusion-unet", config=UNCONDITIONAL, resnet=(0, 0.5, 1)),
    "dit": lambda: get_family("diffusion-transformer", config=DIT),
    "dit-bits": lambda: get_family("diffusion-transformer", config=DIT, bits=(4, 8)),
    "pixart": lambda: get_family(
        "diffusion-transformer", config=PIXART, tokens=5, sampling={"steps": [4, 8]}
    ),
    "diffusion-pipeline": lambda: get_family(
        "diffusion", **options(unet={**options()["unet"], "merge": [0.5, 0.25, 0.0]})
    ),
    **{
        f"{name}-pipeline": lambda name=name: get_family("diffusion", **kinds.options(name))
        for name in ("sdxl", "ddim", "dit", "pixart")
    },
    "ofa-mbv3": lambda: get_family("ofa-mbv3", classes=7, resolutions=(32, 40, 48)),
}


def make_supernet(name: str) -> Supernet:
    """Make a supernet of the family in evaluation mode; no tensor has a value that could hide a mistake."""
    torch.manual_seed(0)
    supernet = Supernet(FAMILIES[name]())
    randomise(supernet)
    return supernet.eval()


@torch.no_grad()
def randomise(network: nn.Module, seed: int = 0) -> None:
    """Give every tensor random values: biases are not zero, statistics not standard, matrices not the identity."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.ndim == 1 or not tensor.any():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.3)
        elif "matrix" in name:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.1)


def some_subnets(family: Family, count: int = 3, seed: int = 0) -> list[Subnet]:
    """Return the smallest, the largest and `count` random subnets."""
    space, rng = family.space, np.random.default_rng(seed)
    return [space.smallest(), space.largest(), *(space.sample(rng) for _ in range(count))]
