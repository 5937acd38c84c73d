"""Families of whole pipelines through the one suite: every kind that is taken, tiny."""

from __future__ import annotations

from nas.families import get_family
from nas.testing.families import FamilyCase, RegisteredFamilySuite
from tests.diffusion import kinds
from tests.diffusion.tiny import options


class TestStableDiffusionPipeline(RegisteredFamilySuite):
    case = FamilyCase(
        lambda: get_family("diffusion", **options(unet={**options()["unet"], "merge": [0.5, 0.25, 0.0]}))
    )


class TestStableDiffusionXLPipeline(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion", **kinds.options("sdxl")))


class TestDDIMPipeline(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion", **kinds.options("ddim")))


class TestDiTPipeline(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion", **kinds.options("dit")))


class TestPixArtPipeline(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("diffusion", **kinds.options("pixart")))
