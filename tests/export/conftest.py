"""A small untrained model folder, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.elastic import Supernet
from nas.families import get_family, save_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    family = get_family("mbv3-small-image", classes=3)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)
    save_model(
        folder,
        Supernet(family),
        name="tiny",
        classes=["a", "b", "c"],
        mean=[0.5] * 3,
        std=[0.25] * 3,
        calibration=images,
    )
    return folder
