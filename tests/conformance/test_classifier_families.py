"""Families of classifiers through the one suite: the shipped shapes, with few classes and small images."""

from __future__ import annotations

from nas.families import get_family
from nas.testing.families import FamilyCase, RegisteredFamilySuite


class TestSmallImages(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("mbv3-small-image", classes=7))


class TestSmallImagesWithFewBits(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("mbv3-small-image", classes=7, width=0.5, bits=[4, 8, 32]))


class TestOnceForAll(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("ofa-mbv3", classes=7, resolutions=(32, 40, 48)))


class TestProxyless(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("ofa-proxyless", width=0.25, classes=7, resolutions=(32, 40, 48)))


class TestResNet50(RegisteredFamilySuite):
    case = FamilyCase(lambda: get_family("ofa-resnet50", width=0.25, classes=7, resolutions=(32, 40, 48)))
