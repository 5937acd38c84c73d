"""How far subnets are from the full network, without labels."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas import api
from nas.api import Model
from nas.errors import UsageError
from nas.models import Quality
from nas.tasks.agreement import AGREEMENT, DIVERGENCE, ERROR, BesideFull


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The subnets of a network whose output is its input: what a made-up subnet says is then known exactly."""

    class Same(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(3, 16, bias=False), nn.Linear(16, 3, bias=False)
            with torch.no_grad():
                weight = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(0))).Q
                self.up.weight.copy_(weight)
                self.down.weight.copy_(weight.T)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.up(x))

    folder = tmp_path_factory.mktemp("models") / "same"
    return api.adopt_module(Same(), torch.randn(1, 3), output=folder).model()


def judged(model: Model, quality: Quality, given: Tensor, truth: Tensor) -> float:
    evaluator = BesideFull(model, quality, [*truth.split(2)], "made-up inputs")
    outputs = iter(given.split(2))
    return evaluator(model, lambda _: next(outputs), model.space.smallest())


def test_agreement_is_the_share_of_equal_classes(model: Model) -> None:
    truth = torch.eye(3)
    assert judged(model, AGREEMENT, truth, truth) == 100
    given = truth.clone()
    given[2] = torch.tensor([0.0, 5.0, 1.0])
    assert judged(model, AGREEMENT, given, truth) == pytest.approx(100 * 2 / 3)


def test_divergence_is_that_of_kullback_and_leibler(model: Model) -> None:
    truth, given = torch.zeros(1, 3), torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    expected = sum(math.log((1 / 3) / share) / 3 for share in (0.5, 0.25, 0.25))
    assert judged(model, DIVERGENCE, given, truth) == pytest.approx(expected, rel=1e-5)
    assert judged(model, DIVERGENCE, truth + 7, truth) == pytest.approx(0, abs=1e-6)


def test_error_is_relative(model: Model) -> None:
    truth = torch.tensor([[3.0, 4.0, 0.0]])
    assert judged(model, ERROR, truth * 1.1, truth) == pytest.approx(10, rel=1e-4)


def test_data_are_refused_where_there_are_no_pictures(model: Model) -> None:
    with pytest.raises(UsageError, match="takes no pictures; leave --data out"):
        model.evaluate("smallest", "digits")


def test_an_export_alone_has_no_full_network(model: Model, tmp_path: Path) -> None:
    model.export("smallest", tmp_path / "small", ["safetensors"], measured=False)
    with pytest.raises(
        UsageError, match="is found beside the full network, which .* alone has not; name the model"
    ):
        api.evaluate_artifact(tmp_path / "small")
