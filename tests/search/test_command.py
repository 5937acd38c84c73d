"""`nas search` as a user types it, on a small untrained supernet: measured here, its profile made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import UsageError
from nas.files import read_json
from nas.models import Calibration, MeasuredTable, Model, load_model, save_model
from nas.predict.surrogate import Surrogate
from nas.search import load_scorer, stored_outcome

Run = Callable[..., Any]
CLASSES = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: an untrained supernet, a made-up table, digits as calibration images."""
    import torch

    from nas.elastic import Supernet
    from nas.families import get_family

    torch.manual_seed(0)
    supernet = Supernet(get_family("mbv3-small-image", classes=10))
    space, rng = supernet.space, np.random.default_rng(0)
    codes = np.unique(space.sample_codes(rng, 150), axis=0)
    counts = supernet.counts(codes)
    top1 = 60.0 + 4.0 * np.log(counts["macs"] / 1e6) + rng.normal(0.0, 0.1, len(codes))
    split = tuple("fit" if row % 5 else "held-out" for row in range(len(codes)))
    table = MeasuredTable(space, codes, {"top1": top1}, split, counts["macs"], counts["params"])
    path = tmp_path_factory.mktemp("models") / "tiny"
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    half = (0.5, 0.5, 0.5)
    save_model(
        path,
        supernet,
        name="tiny",
        classes=CLASSES,
        mean=half,
        std=half,
        calibration=Calibration(images),
        table=table,
    )
    return path


@pytest.fixture(scope="module")
def profiled(model: Path, own_cache: Path) -> Model:
    """The model with a cached profile for one thread, as if a subnet took 1 ms and 1 ms for each 10 M MACs."""
    from nas.latency.profiles.profile import Profile, bound_to, latency_features, profile_path
    from nas.latency.profiles.profiling import choose_samples
    from nas.latency.runtimes import default_runtime
    from nas.latency.workload import Workload

    loaded, runtime, workload = load_model(model), default_runtime(), Workload(threads=1)
    codes = choose_samples(loaded, 40, 0)
    features = latency_features(loaded)
    latency = 1.0 + loaded.supernet.counts(codes)["macs"] / 1e7
    fitted = Surrogate.fit(loaded.space, codes, latency, base=features(codes), kinds=("ridge",))
    bound = bound_to(loaded, runtime, workload)
    profile = Profile(bound, codes, latency, latency, latency, fitted, fitted.cv, features)
    profile.save(profile_path(loaded, runtime, workload))
    return loaded


@pytest.fixture(scope="module")
def searched(model: Path, profiled: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run folder that the command made, and the object it printed."""
    from click.testing import CliRunner

    from nas.cli.searching.search import command

    run = tmp_path_factory.mktemp("runs") / "run"
    arguments = [
        "--latency",
        "50ms",
        "--macs",
        "9M",
        "--model",
        str(model),
        "--threads",
        "1",
        "--trials",
        "80",
    ]
    result = CliRunner().invoke(
        command, [*arguments, "--run-dir", str(run), "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0
    return run, json.loads(result.stdout)


def test_a_search_from_budget_to_measured_answer(
    model: Path, profiled: Model, searched: tuple[Path, Any]
) -> None:
    run, value = searched
    assert value["budget"] == {"latency_ms": 50.0, "macs": 9_000_000}
    answer = value["answer"]
    assert 0.0 < answer["latency_ms"]["measured"] <= 50.0
    assert 5_000_000 < answer["macs"] <= 9_000_000
    assert answer["quality"]["name"] == "top1"
    counts = profiled.supernet.count(profiled.space.read(run / "subnet.json"))
    assert (counts.macs, counts.params) == (answer["macs"], answer["params"])
    info = read_json(run / "run.json")
    assert info["model"] == str(model)
    assert info["measured_with"]["runtime"] == "onnxruntime"


def test_the_measured_program_is_the_calibrated_answer(profiled: Model, searched: tuple[Path, Any]) -> None:
    import onnxruntime
    import torch

    run, _ = searched
    subnet = profiled.space.read(run / "subnet.json")
    x = profiled.family.prepare(torch.randn(3, 3, 32, 32), subnet)
    with torch.inference_mode():
        expected = profiled.extract(subnet)(x).numpy()
    session = onnxruntime.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    given = np.asarray(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-4)


def test_a_finished_run_is_shown_again(searched: tuple[Path, Any], nas_run: Run) -> None:
    run, value = searched
    shown = nas_run("search", "--resume", run)
    assert shown.code == 0
    assert "answer" in shown.stdout
    assert "measured" in shown.stdout
    assert f"nas export {run} --format onnx" in shown.stdout
    again = nas_run("search", "--resume", run, "--json")
    assert json.loads(again.stdout)["answer"] == value["answer"]


def test_no_subnet_is_quick_enough(model: Path, profiled: Model, nas_run: Run, tmp_path: Path) -> None:
    arguments = [
        "--latency",
        "0.5ms",
        "--model",
        model,
        "--threads",
        1,
        "--run-dir",
        tmp_path / "run",
        "--json",
    ]
    result = nas_run("search", *arguments)
    assert result.code == 3
    value = json.loads(result.stdout)
    assert value["answer"] is None
    assert value["smallest_latency_ms"] > 1.0
    assert value["ladder"]
    assert "no subnet keeps latency ≤ 500 us" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give at least one of --latency"),
        (["--latency", "banana"], "'banana' is no duration"),
        (["--latency", "0ms"], "'0ms' is not above zero"),
        (["--latency", "-3ms"], "'-3ms' is not above zero"),
        (["--macs", "1.5ms"], "'1.5ms'"),
        (["--latency", "1ms", "--model", "mbv3-cifar11"], "there is no model 'mbv3-cifar11'"),
        (["--latency", "1ms", "--runtime", "onxruntime"], "did you mean 'onnxruntime'"),
        (["--latency", "1ms", "--threads", "4096"], "4096 threads are asked for"),
        (["--latency", "1ms", "--sampler", "annealing"], "annealing"),
        (["--latency", "1ms", "--trials", "0"], "--trials"),
        (["--latency", "1ms", "--data", "no/such/folder"], "no/such/folder"),
        (["--resume", "no/such/run"], "no/such/run is no run folder"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str],
    words: str,
    model: Path,
    nas_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [] if {"--model", "--resume"} & set(arguments) else ["--model", str(model)]
    result = nas_run("search", *given, *arguments)
    sentence = result.stderr.strip().splitlines()[-1]
    assert result.code == 2, result.stderr
    assert words in sentence
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_resume_takes_everything_from_the_run(nas_run: Run, tmp_path: Path) -> None:
    result = nas_run("search", "--resume", tmp_path, "--latency", "3ms")
    assert result.code == 2
    assert "--latency is given beside --resume" in result.stderr


def test_an_existing_run_folder_is_refused(model: Path, nas_run: Run, tmp_path: Path) -> None:
    result = nas_run("search", "--latency", "5ms", "--model", model, "--run-dir", tmp_path)
    assert result.code == 2
    assert "already exists" in result.stderr


def test_an_interrupted_search_prints_its_best_and_ends_with_130(
    searched: tuple[Path, Any], nas_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        outcome = stored_outcome(*arguments)
        return None if outcome is None else replace(outcome, interrupted=True)

    monkeypatch.setattr("nas.api.verbs.searching.stored_outcome", interrupted)
    result = nas_run("search", "--resume", searched[0], "--json")
    assert result.code == 130
    assert json.loads(result.stdout)["interrupted"] is True
    assert json.loads(result.stdout)["answer"] is not None


def test_accuracy_measured_on_data(profiled: Model) -> None:
    from nas.data.dataset import open_data

    scorer = load_scorer(profiled, open_data("digits"))
    top1 = scorer.score(profiled.space.codes([profiled.space.smallest()] * 2))
    assert scorer.source == "measured"
    assert 0.0 <= top1[0] <= 40.0  # untrained
    assert top1[0] == top1[1]


def test_accuracy_predicted_from_the_table(profiled: Model) -> None:
    scorer = load_scorer(profiled)
    table = profiled.table()
    assert table is not None
    held_out = table.rows("held-out")
    assert scorer.source == "predicted"
    assert np.abs(scorer.score(held_out.codes) - held_out.values["top1"]).mean() < 0.3


def test_data_of_another_kind_and_models_without_a_table_are_refused(profiled: Model) -> None:
    from nas.data.dataset import open_data

    few = replace(profiled, config={**profiled.config, "classes": ["cat", "dog"]})
    with pytest.raises(UsageError, match="has 10 classes, but the model tells 2 apart"):
        load_scorer(few, open_data("digits"))
    bare = replace(profiled, path=profiled.path.parent)
    with pytest.raises(UsageError, match="give images with --data"):
        load_scorer(bare)
