"""The table of a pipeline: measured near the front too, fitted to, and asked before anything is measured again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffusion.evaluation.task import LatentEvaluator, MatchEvaluator, PsnrEvaluator
from nas.models import Model, load_model
from nas.search import load_scorer
from nas.search.testbed.design import DesignCosts, near_front
from nas.search.testbed.measured_table import choose_subnets
from nas.space import plain_codes
from tests.diffusion.tiny import write_pipeline

FEW = {
    "space": {"steps": [1, 2, 3], "guided": [0.0, 1.0], "reuse": [1], "unet": {"depth": [1]}},
    "guidance": 2.0,
}
MEASURE = ("--count", "26", "--near-front", "8", "--held-out", "4", "--quality", "psnr", "--jobs", "1")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with a table."""
    from nas.cli._main import run

    folder = write_pipeline(tmp_path_factory.mktemp("measured") / "tiny", FEW)
    assert run(["measure", str(folder), *MEASURE, "--json"]) == 0
    return folder


@pytest.fixture
def model(measured: Path) -> Model:
    return load_model(measured)


def test_settings_come_first_and_what_is_near_the_front_is_held_out(model: Model) -> None:
    table = model.table()
    assert table is not None and len(table) == 26 and [*table.values] == ["psnr"]
    assert len({row.tobytes() for row in table.codes}) == 26
    assert "held-out" not in table.split[:18]
    plain = plain_codes(model.space, model.family.pass_dimensions)
    assert plain is not None and len(plain) == 6
    known = {row.tobytes() for row in table.codes[:18]}
    assert all(row.tobytes() in known for row in plain)


def test_a_stopped_table_goes_on_with_another_round(
    nas_run: Callable, measured: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(measured, tmp_path / "more")
    before = (folder / "subnets.csv").read_text().splitlines()
    done = nas_run("measure", folder, "--count", "28", "--near-front", "10", *MEASURE[4:])
    assert done.code == 0, done.stderr
    after = (folder / "subnets.csv").read_text().splitlines()
    assert after[: len(before)] == before and len(after) == len(before) + 2


def test_a_quality_that_is_not_the_models_costs_a_sentence(nas_run: Callable, measured: Path) -> None:
    done = nas_run("measure", measured, "--quality", "match")
    assert done.code == 2 and "prompt match cannot be measured" in done.stderr


def test_what_the_table_knows_is_not_measured_again(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    table, scorer = model.table(), load_scorer(model)
    assert table is not None and scorer.source == "predicted" and scorer.check is not None
    values = table.values["psnr"]
    assert np.array_equal(scorer.score(table.codes), values)
    assert scorer.known is not None and len(scorer.known) == len(table)
    monkeypatch.setattr(Model, "extract", None)
    assert np.array_equal(scorer.check.score(table.codes[:3]), values[:3])
    monkeypatch.undo()
    new = near_front(model, scorer.quality, table, 2)
    checked = scorer.check.score(new[:1])
    subnet = model.space.from_codes(new[0])
    assert checked[0] == pytest.approx(PsnrEvaluator()(model, model.extract(subnet), subnet), abs=0.01)


def test_rows_are_what_the_check_would_measure(model: Model) -> None:
    table = model.table()
    assert table is not None
    for row in (5, 20):
        subnet = model.space.from_codes(table.codes[row])
        again = PsnrEvaluator()(model, model.extract(subnet), subnet)
        assert again == pytest.approx(table.values["psnr"][row], abs=0.05)


def test_without_a_table_a_search_says_what_would_make_it_quick(nas_run: Callable, pipeline: Path) -> None:
    done = nas_run("search", "--model", pipeline, "--latency", "1us", "--threads", "1")
    assert done.code == 3
    assert f"`nas measure {pipeline} --quality psnr`" in done.stderr


def test_with_a_table_it_does_not(nas_run: Callable, measured: Path) -> None:
    done = nas_run("search", "--model", measured, "--latency", "1us", "--threads", "1")
    assert done.code == 3 and "nas measure" not in done.stderr


def test_what_is_near_the_front_is_new_and_better_than_chance(model: Model) -> None:
    table, quality = model.table(), model.task.quality("psnr")
    assert table is not None
    found = near_front(model, quality, table, 9, seed=1)
    known = {row.tobytes() for row in table.codes}
    assert len(found) == 9 and not any(row.tobytes() in known for row in found)
    assert np.array_equal(found, near_front(model, quality, table, 9, seed=1))


def test_a_call_may_have_a_price(model: Model) -> None:
    codes = model.space.codes([model.space.smallest(), model.space.largest()])
    free, priced = DesignCosts(model, 0.0)(codes), DesignCosts(model, 1.0)(codes)
    assert free[:, 0] == pytest.approx(model.supernet.counts(codes)["macs"])
    assert (priced > free).all()


def test_subnets_of_a_pipeline_are_chosen_nearer_to_the_largest(model: Model) -> None:
    codes, split = choose_subnets(model, 30, 5, 0)
    assert len({row.tobytes() for row in codes}) == len(codes) == len(split)
    assert split.count("held-out") == 5
    sizes = model.supernet.counts(codes)["params"]
    random = model.supernet.counts(model.space.sample_codes(np.random.default_rng(0), 30))["params"]
    assert sizes.mean() > random.mean()


@pytest.mark.parametrize("second", [MatchEvaluator, LatentEvaluator])
def test_judges_of_one_network_share_its_samples(
    pipeline: Path,
    tmp_path: Path,
    second: type[MatchEvaluator | LatentEvaluator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import diffusion.evaluation.task as task

    if second is MatchEvaluator:
        pipeline = write_pipeline(tmp_path / "ships", {**FEW, "prompts": ["a photo of a ship"]})
    model = load_model(pipeline)
    subnet = model.space.smallest()
    network = model.extract(subnet)
    evaluators = PsnrEvaluator(4), second(6)
    # Each knows the original from its first call.
    wanted = [evaluator(model, model.extract(subnet), subnet) for evaluator in evaluators]
    sampled, true = [], task._batches

    def counted(run, inputs):
        if getattr(run, "__self__", None) is network:
            sampled.append(len(inputs["latents"]))
        return true(run, inputs)

    monkeypatch.setattr(task, "_batches", counted)
    assert [evaluator(model, network, subnet) for evaluator in evaluators] == pytest.approx(wanted, rel=1e-4)
    assert sampled == [4, 2]


def test_json_says_how_good_the_predictor_is(nas_run: Callable, measured: Path) -> None:
    done = nas_run("measure", measured, *MEASURE, "--json")
    answer = json.loads(done.stdout)
    assert answer["subnets"] == 26 and answer["qualities"]["psnr"]["highest"] == pytest.approx(100)
