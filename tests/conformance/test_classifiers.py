"""Trainings of classifiers through the one suite."""

from __future__ import annotations

from nas.testing.trainers import TrainerCase, TrainerSuite
from tests.conformance.trainers import OurProcessesSuite

_OURS = "tests.conformance.trainers"


class TestSandwich(OurProcessesSuite):
    case = TrainerCase(
        f"{_OURS}:classifier", "nas.train.classifiers.objective:ClassifierObjective", tolerance=None
    )


class TestProgressive(TrainerSuite):
    case = TrainerCase(
        f"{_OURS}:progressive", "nas.train.classifiers.objective:ClassifierObjective", tolerance=None
    )
