"""Small families, each of which shows that the mechanism can express one thing, through the one suite."""

from __future__ import annotations

from nas.testing.families import FamilyCase, FamilySuite
from tests.conformance.models import FeedForward, Generator, Heads, Shortcut, Steps, UNet, Weightless, Widths


class TestHeads(FamilySuite):
    case = FamilyCase(Heads)


class TestHeadSizes(FamilySuite):
    case = FamilyCase(lambda: Heads(elastic_size=True))


class TestGatedFeedForward(FamilySuite):
    case = FamilyCase(FeedForward)


class TestSmallUNet(FamilySuite):
    case = FamilyCase(UNet)


class TestSmallGenerator(FamilySuite):
    case = FamilyCase(Generator)


class TestWeightless(FamilySuite):
    case = FamilyCase(Weightless)


class TestShortcut(FamilySuite):
    case = FamilyCase(Shortcut)


class TestSteps(FamilySuite):
    case = FamilyCase(Steps)


class TestWidths(FamilySuite):
    case = FamilyCase(Widths)
