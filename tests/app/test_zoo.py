"""The page of published models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas import jobs
from nas.latency import Workload, default_runtime
from nas.zoo import Forecast, ZooProfile, open_profile, open_zoo
from tests.zoo.simulated import SimulatedMachine


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ZooProfile:
    """A profile of twenty models in a cache of its own."""
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path / "cache"))
    zoo, machine = open_zoo("timm"), SimulatedMachine()
    profile = open_profile(zoo, default_runtime(), Workload(threads=1))
    chosen = [model for model in zoo.programs.values() if 2 < machine.true_ms(model) < 80][::20][:20]
    profile.record(machine(chosen), machine.calm_ms())
    return profile


def test_dragging_the_budget_shows_the_best_within_it(
    runs: Path, measured: ZooProfile, page: Callable[..., Any]
) -> None:
    forecast = Forecast(open_zoo("timm"), measured, "top1")
    test = page("zoo", limit="40")
    shown = {}
    for limit in (40.0, 10.0):
        chosen = min(test.select_slider[0].options, key=lambda text: abs(limit - milliseconds(text)))
        test.select_slider[0].set_value(milliseconds(chosen)).run()
        assert not test.exception
        best = [forecast.entry(index).model.name for index in forecast.best(milliseconds(chosen), 10)]
        assert test.dataframe[0].value["model"].tolist() == best
        shown[limit] = test.metric[0].value
    assert shown[40.0] > shown[10.0]


def milliseconds(text: Any) -> float:
    number, unit = str(text).split()
    return float(number) * {"ms": 1.0, "us": 1e-3, "s": 1e3}[unit]


def test_a_search_of_the_zoo_is_a_job(
    runs: Path, measured: ZooProfile, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    true = jobs.start

    def start(kind: str, title: str, argv: list[str], run: str | None = None) -> jobs.Job:
        started.append(argv)
        return true("list", title, ["list", "--json"], run)

    monkeypatch.setattr("nas.jobs.start", start)
    test = page("zoo")
    test.button(key="start-zoo").click().run()
    assert not test.exception
    assert started[0][:5] == ["search", "--zoo", "timm", "--latency", started[0][4]]
    assert started[0][5:] == ["--quality", "top1", "--threads", "1"]
