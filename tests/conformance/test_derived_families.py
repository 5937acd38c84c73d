"""Families that are derived from models of other libraries through the one suite."""

from __future__ import annotations

from nas.elastic import offer_bits
from nas.testing.families import FamilyCase, FamilySuite
from tests.conformance.derived import MODELS, derived


def _suite(name: str) -> type[FamilySuite]:
    words = "".join(word.capitalize() for word in name.split("_"))
    return type(
        f"Test{words}",
        (FamilySuite,),
        {"case": FamilyCase(lambda: derived(name).family), "__module__": __name__},
    )


globals().update({suite.__name__: suite for suite in map(_suite, MODELS)})


class TestVitWithFewBits(FamilySuite):
    case = FamilyCase(lambda: offer_bits(derived("vit").family, [4, 8, 32]))
