"""A small untrained model folder with a table of "measured" subnets, a finished run of it, and its artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.elastic import Supernet
from nas.export import Export
from nas.families import get_family
from nas.models import Calibration, MeasuredTable, Model, load_model, save_model
from nas.space import Subnet
from nas.tasks.classification import TOP1


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained supernet; its table's accuracies grow with the logarithm of the MACs."""
    torch.manual_seed(0)
    supernet = Supernet(get_family("mbv3-small-image", classes=3))
    codes = np.unique(supernet.space.sample_codes(np.random.default_rng(0), 60), axis=0)
    counts = supernet.counts(codes)
    split = tuple("held-out" if row % 5 == 0 else "fit" for row in range(len(codes)))
    top1 = np.round(50 + 10 * np.log10(counts["macs"] / 1e6), 2)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(
        folder,
        supernet,
        name="tiny",
        classes=["a", "b", "c"],
        mean=[0.49, 0.48, 0.45],
        std=[0.25, 0.24, 0.26],
        calibration=Calibration(torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)),
        table=MeasuredTable(supernet.space, codes, {"top1": top1}, split, counts["macs"], counts["params"]),
        info={
            "license": "Apache-2.0",
            "data": "noise",
            "test": {"smallest_top1": 33.0, "largest_top1": 34.5},
        },
    )
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    """The model, loaded; tests leave it as it is."""
    return load_model(model_folder)


@pytest.fixture(scope="session")
def artifact(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest subnet in every format; tests that change a file copy it first."""
    folder = tmp_path_factory.mktemp("artifacts") / "small"
    Export(model=model, subnet=model.space.smallest()).write(folder)
    return folder


@pytest.fixture(scope="session")
def middle(model: Model) -> Subnet:
    """A subnet between the ends."""
    return model.space.sample(np.random.default_rng(7))


@pytest.fixture(scope="session")
def run_folder(
    model: Model, model_folder: Path, middle: Subnet, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished search whose answer is `middle`, written through the classes that a search writes it with."""
    from nas.latency.measuring.fingerprint import machine_fingerprint
    from nas.search import Budget, Choice, Outcome, RunFolder, SearchConfig

    counts = model.supernet.count(middle)
    answer = Choice(middle, 57.5, None, 1.9, 1.8, 2.0, counts.macs, counts.params, counts.size_bytes, trial=3)
    budget, path = Budget(latency_ms=2.0), tmp_path_factory.mktemp("runs") / "run"
    outcome = Outcome(budget, TOP1, answer, (answer,), 1.0, 3.0, path, trials=9)
    config = SearchConfig(budget, str(model_folder), batch_size=2)
    folder = RunFolder.create(path, {**config.to_dict(), "study": "run"})
    measured_with = {
        "runtime": "onnxruntime",
        "runtime_version": "1.0",
        "workload": {"batch_size": 2, "threads": 1, "precision": "fp32"},
        "machine": machine_fingerprint().to_dict(),
    }
    folder.set_state("finished", measured_with=measured_with, result=outcome.to_dict())
    (path / "subnet.json").write_text(middle.to_json())
    return path
