"""Trainings of pipelines through the one suite."""

from __future__ import annotations

from nas.testing.trainers import TrainerCase, TrainerSuite
from tests.conformance.trainers import OurProcessesSuite

_OURS = "tests.conformance.trainers"


class TestPipeline(OurProcessesSuite):
    case = TrainerCase(
        f"{_OURS}:pipeline", "diffusion.training.text_to_image.objective:PipelineObjective", tolerance=1e-4
    )


class TestElasticPipeline(OurProcessesSuite):
    case = TrainerCase(
        f"{_OURS}:all_subnets",
        "diffusion.training.distil.elastic:ElasticObjective",
        f"{_OURS}:pipeline_beside",
        tolerance=1e-4,
    )


class TestOneSubnet(TrainerSuite):
    case = TrainerCase(
        f"{_OURS}:one_subnet",
        "diffusion.training.distil.one:SubnetObjective",
        f"{_OURS}:pipeline_beside",
        tolerance=1e-4,
    )


class TestAdapters(TrainerSuite):
    case = TrainerCase(
        f"{_OURS}:adapters",
        "diffusion.training.distil.one:SubnetObjective",
        f"{_OURS}:pipeline_beside",
        tolerance=1e-4,
    )
