"""Models of timm, measured for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.latency import Measurement, Workload, get_runtime
from nas.search import Budget
from nas.zoo import ModelTimer, Zoo, ZooSearch, open_profile, open_zoo

TINY = ("test_vit@160", "test_byobnet@160", "test_efficientnet@160")


@pytest.fixture(scope="module")
def tiny() -> Zoo:
    """Three models of a few hundred thousand parameters."""
    zoo = open_zoo("timm")
    return replace(zoo, models=[zoo.programs[name] for name in TINY], references=(TINY[1], TINY[2]))


def test_three_tiny_models_are_searched_and_remembered(tiny: Zoo) -> None:
    runtime, workload = get_runtime("onnxruntime"), Workload(threads=1)
    timer = ModelTimer(tiny, runtime, workload)
    result = ZooSearch(tiny, open_profile(tiny, runtime, workload), timer, Budget(latency_ms=1000.0)).run()
    assert result.answer is not None and not result.skipped and result.samples == 3
    assert result.answer.quality == max(model.qualities["top1"] for model in tiny.models)
    assert {*timer.calm_ms()} == {"smallest", "largest"}
    assert {*open_profile(tiny, runtime, workload).timed} == {*TINY}


class NoExport(nn.Module):
    """No exporter knows its operator."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i1e(x)


def test_a_model_that_cannot_be_written_is_skipped_and_the_others_are_measured(
    tiny: Zoo, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = replace(tiny, build=lambda m: NoExport() if m.program == TINY[0] else tiny.build(m))
    found = ModelTimer(broken, get_runtime("onnxruntime"), Workload(threads=1))(tiny.models[:2])
    assert "cannot be written" in str(found[TINY[0]]) and isinstance(found[TINY[1]], Measurement)
    assert capfd.readouterr().out == ""  # where --json prints its one object


def test_the_command_says_in_a_sentence_what_is_wrong(nas_run: Callable[..., Any], tmp_path: Path) -> None:
    for words, said in (
        (["--latency", "20ms", "--zoo", "tim"], "there is no zoo 'tim'"),
        (["--zoo", "timm", "--params", "9M"], "add --latency 20ms"),
        (["--zoo", "timm", "--latency", "20ms", "--quality", "kid"], "no quality 'kid'"),
        (["--zoo", "timm", "--latency", "20ms", "--model", "x"], "--model is given beside --zoo"),
        (["--zoo", "timm", "--latency", "20ms", "--resume", str(tmp_path)], "--resume is given beside --zoo"),
    ):
        found = nas_run("search", *words)
        assert found.code == 2 and said in found.stderr and found.stderr.count("\n") == 1, found.stderr
