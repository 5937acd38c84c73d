"""Every task through the one suite, with tiny untrained models."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from nas import api
from nas.data.dataset import Data
from nas.elastic import Supernet
from nas.families import get_family
from nas.metrics.accuracy import pictures
from nas.models import Calibration, Preprocessing, save_model
from nas.testing.tasks import TaskCase, TaskSuite
from tests.conformance.trainers import few_digits
from tests.diffusion.small import write_tiny
from tests.gan_compress.conftest import save_tiny as save_generator
from tests.gan_compress.pix2pix.conftest import save_tiny as save_translator


def digits() -> Data:
    """Return so many digits that a validation split has twenty."""
    return few_digits(300)


def save_classifier(folder: Path) -> Path:
    """Write an untrained classifier of digits; calibrated on some, it does not take all for the same."""
    supernet = Supernet(get_family("mbv3-small-image", classes=10))
    data, half = digits(), [0.5] * 3
    images, _ = pictures(data, "train", Preprocessing((), (), (32, 32)), 64)
    save_model(
        folder,
        supernet,
        name="tiny",
        classes=data.classes,
        mean=half,
        std=half,
        calibration=Calibration(images),
    )
    return folder


class TestClassification(TaskSuite):
    case = TaskCase("classification", save_classifier, digits)


def save_network(folder: Path) -> Path:
    """Write the subnets of an untrained network that takes no pictures."""
    network = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))
    return api.adopt_module(network, torch.randn(1, 6), output=folder).path


class TestNetwork(TaskSuite):
    case = TaskCase("network", save_network)


class TestGeneration(TaskSuite):
    case = TaskCase("generation", save_generator, few_digits)


class TestTranslation(TaskSuite):
    case = TaskCase("translation", save_translator, few_digits)


class TestDiffusion(TaskSuite):
    case = TaskCase("diffusion", write_tiny)
