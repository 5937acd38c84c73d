"""Reference programs: lowered once, their calm latencies remembered for everything of a family."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.elastic import Family
from nas.families import get_family
from nas.files import cache_folder, read_json, write_json
from nas.latency.measuring import reference
from nas.latency.measuring.measure import TurnPlan, measure
from nas.latency.measuring.process import Burst, MeasuringProcess
from nas.latency.measuring.reference import calm_latencies, open_references
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload

WORKLOAD = Workload(threads=1)
PLAN = TurnPlan(min_bursts=3, max_bursts=6, burst_ms=1.0, patience_s=0.5)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYFIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def family() -> Family:
    return get_family("mbv3-small-image")


def test_they_are_lowered_once(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = get_runtime("onnxruntime")
    first = open_references(family, runtime, WORKLOAD)
    assert [*first.files] == ["smallest", "largest"] and first.calm == {}
    assert all(path.is_file() and path.is_relative_to(cache_folder()) for path in first.files.values())
    assert first.files["smallest"].stat().st_size < first.files["largest"].stat().st_size
    monkeypatch.setattr(reference, "_lower", None)
    assert open_references(family, runtime, WORKLOAD).files == first.files
    assert open_references(family, runtime, Workload(threads=1, batch_size=4)).files == first.files


def test_what_is_measured_teaches_the_calm_pace(family: Family) -> None:
    runtime = get_runtime("onnxruntime")
    assert calm_latencies(family, runtime, WORKLOAD) == {}
    known = open_references(family, runtime, WORKLOAD)
    found = measure(known.files, runtime, WORKLOAD, references=known, plan=PLAN)
    assert found["smallest"].median_ms < found["largest"].median_ms
    for name, one in found.items():
        assert one.raw_median_ms > 0 and one.p90_ms >= one.median_ms > 0, name
        assert set(one.calm) <= {"smallest", "largest"}
    calm = calm_latencies(family, runtime, WORKLOAD)
    assert calm == known.calm_ms() and set(found["smallest"].calm) == set(calm)
    assert calm_latencies(family, runtime, Workload(threads=1, batch_size=2)) == {}


def test_sessions_are_merged_and_a_damaged_file_is_made_anew(family: Family) -> None:
    runtime = get_runtime("onnxruntime")
    known = open_references(family, runtime, WORKLOAD)

    def session(ms: float) -> dict[str, float]:
        return open_references(family, runtime, WORKLOAD).record({"smallest": [Burst((ms,), 0.0)] * 6})

    assert session(2.0) == {"smallest": 2.0}
    assert session(3.0) == {"smallest": 2.0}
    assert session(1.0) == {"smallest": 1.0}
    (store,) = (path for path in known.files["smallest"].parents[1].glob("*.json"))
    assert read_json(store)["calm"]["smallest"]["ms"] == 1.0
    for damaged in ({}, {"format": "anyfit-reference", "version": 1, "calm": {"smallest": {"ms": -1.0}}}):
        write_json(store, damaged)
        assert calm_latencies(family, runtime, WORKLOAD) == {}
    store.write_text("{")
    assert session(4.0) == {"smallest": 4.0}


def test_large_ones_are_not_kept_and_a_huge_largest_is_left_out(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "_KEPT_BYTES", 1)
    monkeypatch.setattr(reference, "_LARGE_BYTES", 1)
    found = open_references(family, get_runtime("onnxruntime"), WORKLOAD)
    assert [*found.files] == ["smallest"] and found.files["smallest"].is_file()
    assert not (cache_folder() / "references").exists()
    assert found.record({"smallest": [Burst((1.0,), 0.0)] * 6}) == {"smallest": 1.0}


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_every_runtime_runs_them(family: Family, runtime: str) -> None:
    chosen = get_runtime(runtime)
    known = open_references(family, chosen, WORKLOAD)
    with MeasuringProcess(chosen, WORKLOAD) as process:
        for name, path in known.files.items():
            process.load(name, path)
            burst = process.burst(name, 1, 2)
            assert len(burst.ms) == 2 and all(ms > 0 for ms in burst.ms)
            assert burst.waited_ms is None or burst.waited_ms >= 0


def test_where_an_output_takes_several_programs_the_one_run_most_often_stands_for_it() -> None:
    import diffusion  # noqa: F401 (its families are entry points; it needs diffusers)
    from nas.models import load_model

    model = load_model("tiny-sd-cifar10")
    runtime = get_runtime("onnxruntime")
    known = open_references(model.family, runtime, WORKLOAD)
    for path in known.files.values():
        (run,) = read_json(path)["runs"]
        assert run["times"] == 1 and run["program"].startswith("unet")
