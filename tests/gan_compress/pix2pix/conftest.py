"""Tiny untrained image-to-image generators, as model folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_compress.pix2pix.family import gan_compression
from gan_compress.pix2pix.pairs import blur, to_bytes
from nas.elastic import Supernet
from nas.models import Calibration, Model, load_model, save_model

HALF = (0.5, 0.5, 0.5)


def save_tiny(path: Path, norm: str = "instance", pairs: str | None = "blur", seed: int = 0) -> Path:
    """Write a model folder of 16 pixels and 8 channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = Supernet(gan_compression(ngf=8, blocks=3, resolution=16, norm=norm))
        pictures = torch.rand(32, 3, 16, 16) * 2 - 1
    calibration = Calibration(to_bytes(blur(pictures))) if norm == "batch" else None
    info = {"data": "noise"} | ({"pairs": pairs} if pairs else {})
    save_model(
        path, supernet, name="tiny", classes=(), mean=HALF, std=HALF, calibration=calibration, info=info
    )
    return path


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny generator that de-blurs, with batch norms."""
    return save_tiny(tmp_path_factory.mktemp("translation") / "tiny", "batch")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Model:
    """A tiny generator."""
    return load_model(tiny_path)
