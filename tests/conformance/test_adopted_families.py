"""The family of an adopted network through the suite of families, made again from its options as by another process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from nas.derive import derive
from nas.families import get_family
from nas.models.sources import Request, by_place, open_network
from nas.models.sources.adopted import adopted_family
from nas.testing.families import FamilyCase, RegisteredFamilySuite


@cache
def options() -> Mapping[str, object]:
    network = open_network("timm:test_resnet", Request("random", {"": "1x3x32x32"}))
    return adopted_family(network, derive(network.module, by_place(network)), "classification").options


class TestAdopted(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("derived", **options()))
