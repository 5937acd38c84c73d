"""Supernets for tests of other folders, by the family's name in the suite."""

from __future__ import annotations

from collections.abc import Callable

from nas.elastic import Family, Supernet
from nas.families import get_family
from nas.testing.families import FamilyCase, randomise, some_subnets
from tests.conformance.models import Steps, Widths

__all__ = ["make_supernet", "randomise", "some_subnets"]

_FAMILIES: dict[str, Callable[[], Family]] = {
    "steps": Steps,
    "widths": Widths,
    "mbv3-small-image": lambda: get_family("mbv3-small-image", classes=7),
}


def make_supernet(name: str) -> Supernet:
    """Make a supernet of the family in evaluation mode; no tensor has a value that could hide a mistake."""
    return FamilyCase(_FAMILIES[name]).supernet()
