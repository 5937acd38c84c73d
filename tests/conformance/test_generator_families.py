"""Families of generators through the one suite: small images and few channels."""

from __future__ import annotations

from nas.families import get_family
from nas.testing.families import FamilyCase, RegisteredFamilySuite


class TestAnycost(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("anycost", resolution=16, multiplier=0.02, style=16, cap=16))


class TestAnycostWithClasses(RegisteredFamilySuite):
    case = FamilyCase(
        lambda: get_family("anycost", resolution=8, multiplier=0.02, style=16, cap=16, classes=3)
    )


class TestTranslation(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("gan-compression", ngf=8, blocks=4, resolution=16))


class TestTranslationWithFewBits(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("gan-compression", ngf=8, blocks=4, resolution=16, bits=[4, 8, 32]))


class TestTranslationWithBatchNorm(RegisteredFamilySuite):
    case = FamilyCase(
        lambda: get_family(
            "gan-compression", ngf=8, blocks=3, resolution=16, norm="batch", separable=False, dropout=False
        )
    )
