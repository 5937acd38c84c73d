"""Trainings of generators through the one suite."""

from __future__ import annotations

from nas.testing.trainers import TrainerCase, TrainerSuite
from tests.conformance.trainers import OurProcessesSuite

_OURS = "tests.conformance.trainers"
_GENERATOR = "gan_compress.stylegan2.training.objective:GeneratorObjective"
_TRANSLATION = "gan_compress.pix2pix.training.objective:TranslationObjective"


class TestGenerator(TrainerSuite):
    case = TrainerCase(f"{_OURS}:multires", _GENERATOR, tolerance=1e-3)


class TestElasticGenerator(OurProcessesSuite):
    case = TrainerCase(f"{_OURS}:elastic", _GENERATOR, f"{_OURS}:base_beside", tolerance=1e-3)


class TestGeneratorWithoutImages(TrainerSuite):
    case = TrainerCase(f"{_OURS}:without_images", _GENERATOR, f"{_OURS}:base_beside", tolerance=1e-3)


class TestTranslationTeacher(TrainerSuite):
    case = TrainerCase(f"{_OURS}:teacher", _TRANSLATION, tolerance=1e-4, left_out=(".bias",))


class TestTranslationSubnets(OurProcessesSuite):
    case = TrainerCase(
        f"{_OURS}:compress", _TRANSLATION, f"{_OURS}:teacher_beside", tolerance=1e-4, left_out=(".bias",)
    )
