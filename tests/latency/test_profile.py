"""Device profiles with invented latencies: fitting, caching, refusing what was made for something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.elastic import Supernet
from nas.errors import NasError
from nas.families import get_family
from nas.latency.measuring import measure as measure_module
from nas.latency.measuring.measure import Measurement
from nas.latency.profiles import profile as profile_module
from nas.latency.profiles import profiling as profiling_module
from nas.latency.profiles.profile import cached_profile, load_profile, profile_path
from nas.latency.profiles.profiling import better_profile, build_profile, choose_samples
from nas.latency.runtimes import get_runtime
from nas.latency.workload import Workload
from nas.models import load_model, save_model

WORKLOAD = Workload(threads=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models") / "tiny-profile"
    net = Supernet(get_family("mbv3-small-image"))
    save_model(folder, net, name="tiny-profile", classes=list("abcdefghij"), mean=[0.5] * 3, std=[0.25] * 3)
    return load_model(folder)


def invented(model, calls: list[int], fail_at: int | None = None) -> Callable:
    def measure_subnets(_model, subnets, _runtime, _workload, progress=None, *, plan=None):
        calls.append(len(subnets))
        if fail_at is not None and len(calls) > fail_at:
            raise KeyboardInterrupt
        codes = model.space.codes(subnets)
        macs = model.supernet.part_macs(codes)
        ms = 0.05 + macs.sum(1) / 1e7 + 0.02 * (macs > 0).sum(1)
        rng = np.random.default_rng(len(calls))
        ms = ms * (1 + 0.01 * rng.standard_normal(len(ms)))
        return [Measurement(m, m * 1.1, (m, m), 30, 6, 0, p99_ms=m * 1.2) for m in ms.tolist()]

    return measure_subnets


def test_a_profile_predicts_and_is_read_again(model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime, calls = get_runtime("onnxruntime"), []
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, calls))
    profile = build_profile(model, runtime, WORKLOAD, samples=60)
    assert sum(calls) == 60 and profile.error["median_pct"] < 3 and profile.error["kendall"] > 0.9
    assert profile.smallest_ms < profile.largest_ms
    path = profile_path(model, runtime, WORKLOAD)
    profile.save(path)
    again = load_profile(model, runtime, WORKLOAD)
    codes = model.space.sample_codes(np.random.default_rng(0), 50)
    assert np.allclose(again.predict_ms(codes), profile.predict_ms(codes))
    assert not path.with_suffix(".partial").exists()


def test_an_interrupted_profile_goes_on(model, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, calls, workload = get_runtime("onnxruntime"), [], Workload(batch_size=3, threads=1)
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, calls, fail_at=2))
    with pytest.raises(KeyboardInterrupt):
        build_profile(model, runtime, workload, samples=60)
    assert profile_path(model, runtime, workload).with_suffix(".partial").exists()
    rest: list[int] = []
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, rest))
    profile = build_profile(model, runtime, workload, samples=60)
    assert sum(rest) == 20 and len(profile.codes) == 60


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"machine": {"processor": "another", "cores": 99}}, "another machine"),
        ({"space": "0123"}, "space"),
        ({"runtime_version": "0.1"}, "runtime version"),
        ({"workload": {"batch_size": 9, "threads": 1, "precision": "fp32"}}, "workload"),
    ],
)
def test_a_foreign_profile_is_refused(
    model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict, words: str
) -> None:
    runtime = get_runtime("onnxruntime")
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    value = build_profile(model, runtime, WORKLOAD, samples=20).to_dict()
    value["bound"] = {**value["bound"], **change}
    (tmp_path / "p.json").write_text(json.dumps(value))
    with pytest.raises(NasError, match=words) as caught:
        load_profile(model, runtime, WORKLOAD, tmp_path / "p.json")
    assert "nas profile" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_profiles_are_one_sentence(model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = get_runtime("onnxruntime")
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    text = json.dumps(build_profile(model, runtime, WORKLOAD, samples=20).to_dict())
    for damaged in (
        text[:500],
        "{}",
        text.replace('"median_ms": [', '"median_ms": [-1, '),
        text.replace("bound", "b"),
    ):
        (tmp_path / "p.json").write_text(damaged)
        with pytest.raises(NasError) as caught:
            load_profile(model, runtime, WORKLOAD, tmp_path / "p.json")
        assert "p.json" in str(caught.value)
    with pytest.raises(NasError, match="at least 20"):
        build_profile(model, runtime, WORKLOAD, samples=5)


def test_samples_cover_the_space(model) -> None:
    codes = choose_samples(model, 80, seed=0)
    assert len(np.unique(codes, axis=0)) == 80
    space = model.space
    assert (codes[:2] == space.codes([space.smallest(), space.largest()])).all()
    macs = np.log(model.supernet.counts(codes)["macs"])
    filled = np.histogram(macs, bins=8)[0]
    assert (filled >= 4).all()


def test_command(model, nas_run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    args = ("profile", "--model", str(model.path), "--threads", "1", "--samples", "20", "--batch-size", "2")
    code, out, err = nas_run(*args, "--json", "--output", str(tmp_path / "out.json"))
    assert code == 0, err
    assert json.loads(out)["samples"] == 20
    code, out, _ = nas_run(*args)
    assert code == 0 and "next: nas search" in out
    code, out, _ = nas_run(*args, "--import", str(tmp_path / "out.json"))
    assert code == 0
    code, out, _ = nas_run("profile", "--list", "--json")
    assert code == 0 and json.loads(out)["profiles"]
    code, _, err = nas_run(*args, "--output", str(tmp_path / "out.json"))
    assert code == 2 and "already exists" in err


def test_drift_is_the_ratio_of_now_and_then(model, monkeypatch: pytest.MonkeyPatch, nas_run) -> None:
    from nas.latency.profiles.drift import Drift, measure_drift

    assert Drift((1.0, 2.0, 4.0), (1.2, 2.4, 8.0)).ratio == pytest.approx(1.2)
    runtime, workload = get_runtime("onnxruntime"), Workload(batch_size=5, threads=1)
    arguments = ("profile", "--model", model.path, "--threads", "1", "--batch-size", "5", "--drift")
    refused = nas_run(*arguments)
    assert refused.code == 2 and "has no profile under onnxruntime" in refused.stderr
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    build_profile(model, runtime, workload, samples=40).save(profile_path(model, runtime, workload))
    profile = load_profile(model, runtime, workload)
    slower = invented(model, [])

    def measure_subnets(*given, **named):
        return [Measurement(m.median_ms * 1.5, m.p90_ms, m.ci_ms, 30, 6, 0) for m in slower(*given, **named)]

    monkeypatch.setattr(measure_module, "measure_subnets", measure_subnets)
    found = measure_drift(model, profile, runtime, workload)
    assert len(found.now_ms) == 5 and found.ratio == pytest.approx(1.5, rel=0.06)
    assert found.then_ms[0] == profile.median_ms.min() and found.then_ms[-1] == profile.median_ms.max()
    done = nas_run(*arguments, "--json")
    assert done.code == 0 and json.loads(done.stdout)["ratio"] == pytest.approx(1.5, rel=0.06)
    assert "times those of the profile" in nas_run(*arguments).stdout


def shaky(model, calls: list[int], noise: Callable[[int], float], restless: bool = False) -> Callable:
    """Measurements whose spread depends on how many were made before."""

    def measure_subnets(_model, subnets, _runtime, _workload, progress=None, *, plan=None):
        calls.append(len(subnets))
        macs = model.supernet.part_macs(model.space.codes(subnets))
        ms = 0.05 + macs.sum(1) / 1e7 + 0.02 * (macs > 0).sum(1)
        rng = np.random.default_rng(len(calls))
        ms = ms * np.exp(noise(sum(calls)) * rng.standard_normal(len(ms)))
        return [Measurement(m, m, (m, m), 30, 6, 0, p99_ms=m, is_restless=restless) for m in ms.tolist()]

    return measure_subnets


def test_a_bad_profile_is_made_once_more_and_said(model, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, workload, calls, said = get_runtime("onnxruntime"), Workload(batch_size=6, threads=1), [], []
    monkeypatch.setattr(
        measure_module, "measure_subnets", shaky(model, calls, lambda done: 0.4 if done <= 50 else 0.01)
    )
    profile = build_profile(model, runtime, workload, samples=40, report=said.append)
    assert profile.is_good and profile.doubt == "" and len(said) == 1 and "once more" in said[0]
    monkeypatch.setattr(measure_module, "measure_subnets", shaky(model, [], lambda done: 0.4))
    profile = build_profile(model, runtime, workload, samples=40, report=said.append)
    assert not profile.is_good and len(said) == 2
    assert "%" in profile.doubt and "nas profile --force" in profile.doubt
    path = profile_path(model, runtime, workload)
    profile.save(path)
    assert not load_profile(model, runtime, workload).is_good
    assert json.loads(path.read_text())["is_good"] is False


def test_a_calmer_hour_replaces_a_bad_profile(model, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, workload, said = get_runtime("onnxruntime"), Workload(batch_size=7, threads=1), []
    monkeypatch.setattr(measure_module, "measure_subnets", shaky(model, [], lambda done: 0.4))
    bad = build_profile(model, runtime, workload, samples=40)
    monkeypatch.setattr(measure_module, "measure_subnets", shaky(model, [], lambda done: 0.01, restless=True))
    assert better_profile(bad, model, runtime, workload, report=said.append) is bad and not said
    monkeypatch.setattr(measure_module, "measure_subnets", shaky(model, [], lambda done: 0.01))
    good = better_profile(bad, model, runtime, workload, report=said.append)
    assert good is not bad and good.is_good and "calmer" in said[0]


def test_samples_far_from_the_others_are_measured_again(model, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, workload, calls = get_runtime("onnxruntime"), Workload(batch_size=8, threads=1), []
    honest = shaky(model, calls, lambda done: 0.005)

    def measure_subnets(*given, **named):
        found = honest(*given, **named)
        if len(calls) == 2:  # one sample of the second batch was disturbed without anyone noticing
            found[3] = replace(found[3], median_ms=1.6 * found[3].median_ms)
        return found

    monkeypatch.setattr(measure_module, "measure_subnets", measure_subnets)
    profile = build_profile(model, runtime, workload, samples=60)
    assert 61 <= sum(calls) <= 75
    macs = model.supernet.part_macs(profile.codes)
    truth = 0.05 + macs.sum(1) / 1e7 + 0.02 * (macs > 0).sum(1)
    assert np.abs(profile.median_ms / truth - 1).max() < 0.05


def test_a_profile_follows_the_calm_pace(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference programs that are seen to be quicker later bring all figures down, without measuring anything."""
    runtime, workload = get_runtime("onnxruntime"), Workload(batch_size=9, threads=1)
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    monkeypatch.setattr(profiling_module, "calm_latencies", lambda *given: {"smallest": 1.0, "largest": 4.0})
    profile = build_profile(model, runtime, workload, samples=40)
    profile.save(profile_path(model, runtime, workload))
    monkeypatch.setattr(profile_module, "calm_latencies", lambda *given: {"smallest": 0.8, "largest": 3.2})
    later = load_profile(model, runtime, workload)
    assert later.median_ms == pytest.approx(0.8 * profile.median_ms)
    codes = model.space.sample_codes(np.random.default_rng(0), 20)
    assert later.predict_ms(codes) == pytest.approx(0.8 * profile.predict_ms(codes))
    assert later.tail("p90") == pytest.approx(profile.tail("p90")) and later.tail("median") == 1.0
    assert later.to_dict()["samples"]["median_ms"] == pytest.approx(profile.median_ms.tolist())


def test_a_profile_of_an_older_version_is_made_anew(model, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, workload = get_runtime("onnxruntime"), Workload(batch_size=10, threads=1)
    monkeypatch.setattr(measure_module, "measure_subnets", invented(model, []))
    assert cached_profile(model, runtime, workload) is None
    path = profile_path(model, runtime, workload)
    build_profile(model, runtime, workload, samples=20).save(path)
    assert cached_profile(model, runtime, workload) is not None
    path.write_text(path.read_text().replace('"version": 2', '"version": 1', 1))
    assert cached_profile(model, runtime, workload) is None
    with pytest.raises(NasError, match="version 1"):
        load_profile(model, runtime, workload)
