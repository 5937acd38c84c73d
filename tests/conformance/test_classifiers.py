"""Trainings of classifiers through the one suite."""

from __future__ import annotations

from nas.testing.trainers import TrainerCase, TrainerSuite
from tests.conformance.trainers import OurProcessesSuite

_OURS = "tests.conformance.trainers"


class TestSandwich(OurProcessesSuite):
    case = TrainerCase(
        f"{_OURS}:classifier", "nas.train.classifiers.objective:ClassifierObjective", tolerance=None
    )


class TestDistilled(TrainerSuite):
    case = TrainerCase(
        f"{_OURS}:distilled",
        "nas.train.classifiers.distilled:DistilledObjective",
        f"{_OURS}:start_of_distilled",
        tolerance=None,
    )


class TestProgressive(TrainerSuite):
    case = TrainerCase(
        f"{_OURS}:progressive", "nas.train.classifiers.objective:ClassifierObjective", tolerance=None
    )
