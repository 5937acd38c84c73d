"""Families that are derived from models of other libraries through the one suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nas.derive import Derivation
from nas.elastic import offer_bits
from nas.testing.families import FamilyCase, FamilySuite
from tests.conformance.derived import MODELS, SIZED, derived, sized


def _suite(name: str, make: Callable[[str], Derivation], tail: str = "") -> type[FamilySuite]:
    words = "".join(word.capitalize() for word in name.split("_"))
    return type(
        f"Test{words}{tail}",
        (FamilySuite,),
        {"case": FamilyCase(lambda: make(name).family), "__module__": __name__},
    )


_SUITES = [*(_suite(name, derived) for name in MODELS), *(_suite(name, sized, "Sized") for name in SIZED)]
globals().update({suite.__name__: suite for suite in _SUITES})


@pytest.mark.parametrize("name", SIZED)
def test_kernels_and_resolution_stand_beside_widths_and_depth(name: str) -> None:
    report = sized(name).report
    assert {d.kind for d in report.dimensions} == {"resolution", "kernel", "depth", "width"}
    assert report.built_from == "modules"
    assert report.proof is not None
    assert not report.proof.refuted


class TestVitWithFewBits(FamilySuite):
    case = FamilyCase(lambda: offer_bits(derived("vit").family, [4, 8, 32]))
