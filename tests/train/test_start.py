"""A classifier's training goes on from the weights of a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.api import Model
from nas.elastic import Supernet
from nas.families import get_family
from nas.models import load_model, save_model
from nas.progress import Progress
from nas.train.classifiers.objective import ClassifierObjective, train
from nas.train.classifiers.recipe import load_recipe
from nas.train.objective import Setup
from nas.train.processes import joined
from tests.conformance.trainers import few_digits, shades

RECIPE = load_recipe("digits").replaced(
    epochs=1,
    batch_size=44,
    distil_steps=0,
    warmup_epochs=0.0,
    calibration_images=32,
    random_subnets=1,
    lr=1e-6,
)


def save_start(folder: Path, classes: str = "0123456789") -> Path:
    torch.manual_seed(5)
    supernet = Supernet(get_family("mbv3-small-image", classes=10, width=0.5))
    half = (0.5, 0.5, 0.5)
    save_model(folder, supernet, name="start", classes=[*classes], mean=half, std=half)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_start(tmp_path_factory.mktemp("start") / "model")


class Remarks(Progress):
    """Keeps what is said beside the steps."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, stage: str, done: int = 0, total: int = 0, note: str = "") -> None: ...

    def remark(self, text: str) -> None:
        self.said.append(text)


def test_a_model_goes_on_from_its_own_weights(start: Path, tmp_path: Path) -> None:
    """With a rate of nearly nothing it stays what it was, but for the statistics."""
    model = Model.of(load_model(str(start)))
    changes = {name: getattr(RECIPE, name) for name in RECIPE.model_fields_set if name != "family"}
    trained = model.train("digits", few_digits(), tmp_path / "run", changes=changes, threads=1).model()
    assert trained.family.options == model.family.options
    assert [*trained.mean, *trained.std] == [0.5] * 6, "images come as the weights are used to"
    before, after = dict(model.supernet.named_parameters()), dict(trained.supernet.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.allclose(tensor, before[name], atol=1e-4) for name, tensor in after.items())
    assert not all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_a_run_that_was_begun_so_is_resumed_without_its_start(start: Path, tmp_path: Path) -> None:
    train(RECIPE, few_digits(), tmp_path, start, threads=1)
    folder = train(RECIPE.replaced(epochs=2), few_digits(), tmp_path, resume=True, threads=1)
    model = load_model(str(folder))
    assert model.family.options["width"] == 0.5 and [*model.mean] == [0.5] * 3


def test_a_last_layer_that_is_kept_for_other_classes_is_told_of(start: Path, tmp_path: Path) -> None:
    """As many classes of other names: the layer is kept, since nobody can know whether they mean the same."""
    letters, same, others = save_start(tmp_path / "model", "abcdefghij"), Remarks(), Remarks()
    train(RECIPE, few_digits(), tmp_path / "same", start, threads=1, progress=same)
    folder = train(RECIPE, few_digits(), tmp_path / "others", letters, threads=1, progress=others)
    told = "the last layer of start is kept, though its classes are others: 'a' where the data have '0'"
    assert others.said[0] == told and same.said and not any("last layer" in text for text in same.said)
    before, after = (load_model(place).supernet.network.state_dict() for place in (letters, folder))
    last = [name for name in before if name.startswith("classifier.")]
    assert last and all(torch.allclose(before[name], after[name], atol=1e-4) for name in last)


def test_the_last_layer_begins_anew_for_other_classes(start: Path, tmp_path: Path) -> None:
    with joined("cpu") as processes:
        recipe = RECIPE.replaced(start=str(start), batch_size=8)
        objective = ClassifierObjective(recipe, shades(), Setup(tmp_path, processes))
        objective.state = objective.build()
        objective.begin()
    given = load_model(str(start)).supernet.network.state_dict()
    for network in objective.state.networks():
        for name, tensor in network.state_dict().items():
            name = name.removeprefix("network.")
            if name.startswith("classifier."):
                assert len(tensor) == 2 and len(given[name]) == 10
            else:
                assert torch.equal(tensor, given[name]), name
