"""Outputs of several programs: what is written, how a runtime runs it, and what is predicted from the programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import NasError
from nas.latency.measuring import measure as measure_module
from nas.latency.measuring.measure import Measurement, TurnPlan, measure
from nas.latency.measuring.programs import lower_output
from nas.latency.profiles import passes as passes_module
from nas.latency.profiles.passes import FEWEST, PassTable, Programs, SumOfPasses
from nas.latency.profiles.profile import load_profile, profile_path
from nas.latency.profiles.profiling import build_profile
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes.base import Run, Runtime
from nas.latency.runtimes.sequence import read_sequence
from nas.latency.workload import Workload
from nas.models import Model
from tests.conformance.families import make_supernet

WORKLOAD = Workload(threads=1)
CHOICES = {"near": 8, "deep": 16, "steps": 4, "guided": True, "reuse": 2}


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(Path("nowhere"), {"name": "steps"}, make_supernet("steps"))


class Recorder(Runtime):
    """Runs nothing; remembers which program was run on how many inputs."""

    name = package = "recorder"

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.loaded: list[tuple[str, int]] = []

    def lower(self, module, example, path, recipe=None):
        program = path.with_suffix(".program")
        program.write_text(str(sum(p.numel() for p in module.parameters())))
        return program

    def load(self, path: Path, workload: Workload) -> Run:
        call = path.stem.partition("-")[0], workload.batch_size
        self.loaded.append(call)
        return lambda: self.ran.append(call)


def test_a_sequence_runs_every_pass_in_order(model: Model, tmp_path: Path) -> None:
    runtime, subnet = Recorder(), model.space.subnet(CHOICES)
    path = lower_output(model.supernet.extract(subnet), model.family, subnet, runtime, tmp_path / "a")
    run = runtime.open(path, Workload(batch_size=3, threads=1))
    run()
    steps = [("whole", 6), ("near", 6)]
    assert runtime.ran == [("start", 3), *steps, *steps, ("end", 3)]
    assert sorted(runtime.loaded) == sorted(set(runtime.loaded))  # each program once
    runtime.ran.clear()
    run()
    assert len(runtime.ran) == 6


def test_a_measuring_process_opens_what_sequences_share_once(model: Model, tmp_path: Path) -> None:
    runtime, workload = Recorder(), Workload(threads=1)
    runtime.start(workload)
    for number, steps in enumerate((2, 4)):
        subnet = model.space.subnet({**CHOICES, "steps": steps})
        path = lower_output(
            model.supernet.extract(subnet), model.family, subnet, runtime, tmp_path / str(number)
        )
        runtime.open(path, workload)()
    assert sorted(runtime.loaded) == sorted(set(runtime.loaded))
    assert len(runtime.ran) > len(runtime.loaded)


def test_programs_that_subnets_share_are_written_once(model: Model, tmp_path: Path) -> None:
    runtime = Recorder()
    for number, change in enumerate(({}, {"steps": 2}, {"deep": 4})):
        subnet = model.space.subnet({**CHOICES, **change})
        lower_output(model.supernet.extract(subnet), model.family, subnet, runtime, tmp_path / str(number))
    names = sorted(path.stem.partition("-")[0] for path in tmp_path.glob("*.program"))
    assert names == ["end", "near", "start", "whole", "whole"]  # only the width of the deep block differs


def test_whole_outputs_are_measured_in_a_process_of_their_own(model: Model, tmp_path: Path) -> None:
    runtime = get_runtime("onnxruntime")
    files = {}
    for name, steps in (("short", 1), ("long", 4)):
        subnet = model.space.subnet({**CHOICES, "steps": steps})
        network = model.supernet.extract(subnet)
        files[name] = lower_output(network, model.family, subnet, runtime, tmp_path / name)
    quick = TurnPlan(min_bursts=3, max_bursts=3, burst_ms=0.5)
    found = measure(files, runtime, WORKLOAD, plan=quick)
    assert 0 < found["short"].median_ms < found["long"].median_ms
    files["long"].write_text("{}")
    with pytest.raises(NasError, match="no sequence"):
        measure({"a": files["long"]}, runtime, WORKLOAD, plan=quick)


def _invented_ms(model: Model, path: Path) -> float:
    """A latency that is a fixed cost of each run and something for every byte of the program."""
    return sum(times * _once_ms(file, times, batch) for file, times, batch in read_sequence(path))


def _once_ms(file: Path, _times: int, batch: int) -> float:
    return batch**0.8 * (0.1 + file.stat().st_size * 1e-5)


@pytest.fixture
def measured(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace measuring by a formula; the list fills with how many files were measured at a time."""
    calls: list[int] = []

    def invented(programs: Mapping, *_: object, progress=None, **__: object) -> dict:
        calls.append(len(programs))
        ms = {key: _invented_ms(model, path) for key, path in programs.items()}
        return {key: Measurement(m, m * 1.1, (m, m), 30, 6, 0) for key, m in ms.items()}

    for module in (measure_module, passes_module):
        monkeypatch.setattr(module, "measure", invented)
    return calls


def test_an_output_is_predicted_from_its_programs(model: Model, measured: list[int]) -> None:
    runtime = get_runtime("onnxruntime")
    profile = build_profile(model, runtime, WORKLOAD, samples=20)
    # 1 start, 6 of (near, deep) on one and two inputs, 2 near on both, 1 end; then the whole outputs
    assert measured == [1, 4, 1, 12, 10]
    assert isinstance(profile.predictor, SumOfPasses)
    assert profile.error["n"] == 10 and profile.error["median_pct"] < 1e-6
    profile.save(profile_path(model, runtime, WORKLOAD))
    again = load_profile(model, runtime, WORKLOAD)
    codes = model.space.sample_codes(np.random.default_rng(0), 30)
    assert np.array_equal(again.predict_ms(codes), profile.predict_ms(codes))
    assert len(np.unique(profile.predict_ms(codes))) > 10


def test_what_cold_caches_cost_is_learnt_from_whole_outputs(
    model: Model, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs in which each program takes a fifth longer right after another one."""
    warm = measure_module.measure

    def cold(programs: Mapping, *given: Any, **named: Any) -> dict:
        found = warm(programs, *given, **named)
        for key, path in programs.items():
            runs = read_sequence(path)
            last = None
            if len(runs) > 1:
                extra = 0.0
                for run in runs:
                    once = _once_ms(*run)
                    extra += 0.2 * once if run[::2] != last else 0.0
                    last = run[::2]
                ms = found[key].median_ms + extra
                found[key] = Measurement(ms, ms, (ms, ms), 30, 6, 0)
        return found

    for module in (measure_module, passes_module):
        monkeypatch.setattr(module, "measure", cold)
    workload = Workload(batch_size=4, threads=1)
    profile = build_profile(model, get_runtime("onnxruntime"), workload, samples=20)
    assert profile.error["median_pct"] < 0.5
    assert profile.predictor.to_dict()["cold"] == pytest.approx(0.2, abs=0.01)
    path = profile_path(model, get_runtime("onnxruntime"), workload)
    profile.save(path)
    codes = model.space.sample_codes(np.random.default_rng(1), 20)
    again = load_profile(model, get_runtime("onnxruntime"), workload)
    assert np.array_equal(again.predict_ms(codes), profile.predict_ms(codes))


def test_an_interrupted_profile_of_programs_goes_on(
    model: Model, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, workload = get_runtime("onnxruntime"), Workload(batch_size=2, threads=1)

    def stop(done: int, total: int) -> None:
        assert done <= total == 20
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_profile(model, runtime, workload, samples=20, progress=stop)
    before = sum(measured)
    build_profile(model, runtime, workload, samples=20)
    assert before < sum(measured) == 28
    assert not [*profile_path(model, runtime, workload).parent.glob("steps-*-b2-*.partial")]


def test_a_damaged_sum_is_one_sentence(model: Model, measured: list[int], tmp_path: Path) -> None:
    runtime = get_runtime("onnxruntime")
    value = build_profile(model, runtime, WORKLOAD, samples=20).to_dict()
    del value["predictor"]["programs"][0]
    (tmp_path / "p.json").write_text(json.dumps(value))
    with pytest.raises(NasError, match=r"p\.json is damaged .*not those of the model"):
        load_profile(model, runtime, WORKLOAD, tmp_path / "p.json")


def test_programs_with_many_configurations_are_sampled(model: Model) -> None:
    programs = Programs(model)
    assert programs.kinds == [("end", 1), ("near", 1), ("near", 2), ("start", 1), ("whole", 1), ("whole", 2)]
    every = programs.every("whole", FEWEST)
    assert every is not None and len(every) == 6 and programs.every("whole", 5) is None
    codes = model.space.sample_codes(np.random.default_rng(0), 50)
    assert {row.tobytes() for row in programs.configurations("whole", codes)} == {r.tobytes() for r in every}
    assert np.array_equal(PassTable(every, np.arange(6.0)).predict(every[::-1], every), np.arange(6.0)[::-1])
