"""Families of denoisers through the one suite: every layout of diffusers that they know, tiny."""

from __future__ import annotations

from nas.families import get_family
from nas.testing.families import FamilyCase, RegisteredFamilySuite
from tests.conformance.diffusion import DIT, PIXART, SD1, SD2, SDXL, UNCONDITIONAL


class TestStableDiffusion1(RegisteredFamilySuite):
    case = FamilyCase(
        lambda: get_family(
            "diffusion-unet", config=SD1, tokens=5, sampling={"steps": [4, 8], "cache": [3, 2, 1]}
        )
    )


class TestStableDiffusion2(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion-unet", config=SD2, tokens=5, merge=(0.5, 0.0)))


class TestStableDiffusionXL(RegisteredFamilySuite):
    """Every branch may be left out, transformers of several blocks included."""

    case = FamilyCase(
        lambda: get_family(
            "diffusion-unet",
            config=SDXL,
            tokens=5,
            resnet=(0, 0.5, 1),
            cross_attention=(0, 0.5, 1),
            feed_forward=(0, 0.5, 1),
            depth=(0, 0.4, 0.7, 1),
        )
    )


class TestFewBits(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion-unet", config=SD1, tokens=5, bits=(4, 8, 32)))


class TestUnconditional(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion-unet", config=UNCONDITIONAL, resnet=(0, 0.5, 1)))


class TestDiT(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion-transformer", config=DIT))


class TestDiTOfFewBits(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion-transformer", config=DIT, bits=(4, 8)))


class TestPixArt(RegisteredFamilySuite):
    case = FamilyCase(
        lambda: get_family("diffusion-transformer", config=PIXART, tokens=5, sampling={"steps": [4, 8]})
    )
