"""A tiny untrained generator with classes, as a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_compress.stylegan2.family import anycost
from nas.elastic import Supernet
from nas.models import Model, load_model, save_model

CLASSES = ["cat", "dog", "bird"]


def save_tiny(path: Path, seed: int = 1) -> Path:
    """Write a model folder of 16 pixels, a width of 16 styles and three classes."""
    family = anycost(resolution=16, multiplier=1 / 64, style=16, cap=16, classes=3, smallest=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = Supernet(family)
    save_model(path, supernet, name="tiny", classes=CLASSES, mean=[0.5] * 3, std=[0.5] * 3)
    return path


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny untrained generator."""
    return save_tiny(tmp_path_factory.mktemp("gan") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Model:
    """A tiny untrained generator."""
    return load_model(tiny_path)
