"""A tiny pipeline of random weights on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diffusion.tiny import write_pipeline


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline, as diffusers saves it; tests must leave it as it is."""
    return write_pipeline(tmp_path_factory.mktemp("pipelines") / "tiny-random")
