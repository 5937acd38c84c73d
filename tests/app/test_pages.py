"""Every page: empty, finished, with a broken run, and with what people type into addresses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas import jobs
from tests.app.invented import write_run

PAGES = ["home", "search", "explore", "latency", "zoo", "classify", "generator", "diffuse", "export"]
Page = Callable[..., Any]


def words(test: Any) -> str:
    """Return all that a page says."""
    kinds = (
        "title",
        "header",
        "subheader",
        "markdown",
        "caption",
        "info",
        "warning",
        "error",
        "success",
        "code",
    )
    texts = [str(one.value) for kind in kinds for one in getattr(test, kind)]
    texts += [f"{one.label} {one.value}" for one in test.metric]
    return "\n".join(texts)


def button(test: Any, label: str) -> Any:
    return next(one for one in test.button if label in one.label)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_an_empty_state(runs: Path, page: Page, name: str) -> None:
    test = page(name)
    assert not test.exception and not test.error
    assert len(test.title) == 1


@pytest.mark.parametrize("name", PAGES)
def test_no_page_breaks_on_broken_folders_and_odd_addresses(runs: Path, page: Page, name: str) -> None:
    write_run(runs / "good", 40)
    broken = write_run(runs / "<script>alert(1)</script>", 40)
    (broken / "pareto.csv").write_text("trial,role\n1")
    (runs / "half").mkdir()
    (runs / "half" / "run.json").write_text("{")
    odd = {
        "run": "../../etc",
        "job": "../x",
        "model": "nope",
        "limit": "nan?",
        "pins": "9999,a,-1",
        "seed": "1e99",
        "trial": "x",
    }
    test = page(name, **odd)
    assert not test.exception
    assert "<script>" not in words(test)


@pytest.mark.parametrize("name", ["explore", "search", "export"])
def test_a_path_in_the_address_leads_nowhere(runs: Path, page: Page, name: str) -> None:
    write_run(runs / "good", 40)
    for key in ("run", "artifact"):
        test = page(name, **{key: "../../../etc/passwd"})
        assert not test.exception and "root:" not in words(test)


def test_home_shows_runs_and_starts_a_real_search(
    finished: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    true = jobs.start

    def start(kind: str, title: str, argv: list[str], run: str | None = None) -> jobs.Job:
        started.append(argv)
        return true("list", title, ["list", "--json"], run)

    monkeypatch.setattr("nas.jobs._searches.start", start)
    test = page("home")
    assert not test.exception and "first-export" in words(test) and "measured" in words(test)
    button(test, "Find a model for 20 ms").click().run()
    assert not test.exception
    assert started[0][:5] == ["search", "--model", "mbv3-cifar10", "--latency", "20ms"]


def test_search_shows_the_promise_of_a_finished_run(finished: Path, page: Page) -> None:
    test = page("search", run="first")
    assert not test.exception and not test.error
    shown = words(test)
    assert "The promise is kept" in shown and "latency, measured" in shown and "latency, predicted" in shown


def test_search_refuses_a_budget_in_a_sentence(runs: Path, page: Page) -> None:
    test = page("search")
    test.text_input[0].set_value("20 potatoes").run()
    button(test, "Search").click().run()
    assert not test.exception
    assert "potatoes" in words(test) and "unit" in words(test)
    assert jobs.jobs() == []


def test_the_slider_picks_the_best_within_it(runs: Path, page: Page) -> None:
    from nas.search.results.candidates import read_candidates

    found = read_candidates(write_run(runs / "run", 300))
    test = page("explore", run="run", limit="0.7")
    assert not test.exception and not test.error
    row = found.best_within(float(test.slider[0].value))
    assert row is not None
    assert f"Trial {row}: the best within the budget" in words(test)
    for end in (test.slider[0].min, test.slider[0].max):
        test.slider[0].set_value(end).run()
        assert any("within the budget" in one.value for one in test.markdown), end
    test.slider[0].set_value(float(found.latency_ms.max())).run()
    best = found.best_within(float(found.latency_ms.max()) * 1.01)
    assert f"Trial {best}: the best within the budget" in words(test)


def test_a_click_picks_a_point_and_pins_are_compared(runs: Path, page: Page) -> None:
    write_run(runs / "run", 300)
    test = page("explore", run="run", pins="3,5")
    assert not test.exception
    assert "Pinned" in words(test) and {"Unpin trial 3", "Unpin trial 5"} <= {
        one.label for one in test.button
    }
    test.session_state["pareto-run"] = {"selection": {"pick": [{"id": 7}]}}
    test.run()
    assert not test.exception and "Trial 7: the point that was clicked" in words(test)
    button(test, "Pin").click().run()
    assert "Unpin trial 7" in {one.label for one in test.button}
    button(test, "Unpin trial 5").click().run()
    assert "Unpin trial 5" not in {one.label for one in test.button}


def test_restricted_choices_are_left_out(runs: Path, page: Page) -> None:
    write_run(runs / "run", 300)
    test = page("explore", run="run")
    before = test.slider[0].max
    next(one for one in test.multiselect if one.label == "Dimensions").set_value(["resolution"]).run()
    next(one for one in test.multiselect if one.label == "resolution").set_value([16]).run()
    assert not test.exception and test.slider[0].max < before
    next(one for one in test.multiselect if one.label == "resolution").set_value([]).run()
    assert not test.exception and "allow more of them" in words(test)


def test_ten_thousand_candidates_open(runs: Path, page: Page) -> None:
    write_run(runs / "run", 10_000)
    test = page("explore", run="run")
    assert not test.exception and not test.error and "the best within the budget" in words(test)


def test_latency_shows_predicted_beside_measured(finished: Path, page: Page) -> None:
    test = page("latency", model="mbv3-cifar10")
    assert not test.exception and not test.error
    assert "median error, held out" in words(test) and "Finalists of your runs" in words(test)


def test_a_picture_goes_through_both_networks(finished: Path, page: Page) -> None:
    test = page("classify", run="first")
    assert not test.exception and not test.error
    shown = words(test)
    assert "Full network: " in shown and "Subnet: " in shown and shown.count("latency") >= 2


def test_the_preview_becomes_final(runs: Path, page: Page) -> None:
    test = page("generator", seed="5")
    assert not test.exception and not test.error
    assert "Take it" not in str(test.get("download_button"))
    button(test, "Finalize").click().run()
    assert not test.exception
    assert "feature distance of the two" in words(test)


def test_an_export_shows_its_checks_and_is_a_zip(finished: Path, page: Page) -> None:
    import io
    import zipfile

    import onnxruntime

    from app.parts.zips import zipped

    test = page("export", artifact="first-export")
    assert not test.exception and not test.error
    assert "outputs are the supernet's within" in words(test) and "SHA-256" in words(test)
    with zipfile.ZipFile(io.BytesIO(zipped(finished / "first-export"))) as archive:
        names = archive.namelist()
        model = archive.read("first-export/model.onnx")
    assert "first-export/README.md" in names and onnxruntime.InferenceSession(model).get_inputs()


def test_a_damaged_export_is_said_to_be_damaged(
    finished: Path, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.setenv("ANYFIT_RUNS", str(tmp_path / "copy"))
    (tmp_path / "copy" / "first-export" / "model.onnx").write_bytes(b"x")
    test = page("export", artifact="first-export")
    assert not test.exception and "unlike the manifest says" in words(test)


def test_a_prompt_that_is_too_long_costs_a_sentence(runs: Path, page: Page) -> None:
    test = page("diffuse", prompt="a photo of a ship " * 12)
    assert not test.exception
    button(test, "Compare").click().run()
    assert not test.exception and "at most" in words(test) and jobs.jobs() == []


def test_a_grid_and_a_move_of_a_generator_are_files(runs: Path, page: Page) -> None:
    test = page("generator")
    button(test, "Make the grid").click().run()
    assert not test.exception and test.session_state["grid"].startswith(b"\x89PNG")
    button(test, "Make the move").click().run()
    assert not test.exception and test.session_state["move"].startswith(b"GIF")


def test_directions_move_the_preview(runs: Path, page: Page) -> None:
    test = page("generator", seed="5")
    labels = next(one for one in test.multiselect if one.label == "Move towards")
    labels.set_value([labels.options[0]]).run()
    assert not test.exception and not test.error
    assert any(one.label.startswith("more ") for one in test.slider)


def test_a_recipe_becomes_a_subnet_before_anything_is_run(runs: Path, page: Page) -> None:
    from nas.files import read_json

    test = page("diffuse", other="a recipe of yours")
    assert not test.exception and not test.error and "an image, predicted" in words(test)
    (first,) = (runs / ".subnets").iterdir()
    next(one for one in test.select_slider if one.label == "Steps").set_value(8).run()
    assert not test.exception
    found = [read_json(path)["choices"] for path in (runs / ".subnets").iterdir() if path != first]
    assert [choices["steps"] for choices in found] == [8]


def test_a_measured_drift_is_shown(finished: Path, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.start("drift", "Drift", ["list", "--json", "mbv3-cifar10"])
    (job.folder / jobs.CANCEL).touch()
    info = jobs.read_info(job.folder) | {"state": "finished"}
    monkeypatch.setattr(jobs, "jobs", lambda kind=None: [jobs.Job(job.id, job.folder, info)])
    (job.folder / jobs.STDOUT).write_text('{"ratio": 1.25}')
    test = page("latency", model="mbv3-cifar10")
    assert not test.exception and "1.25×" in words(test)


def test_a_job_that_broke_off_is_told_of_at_the_next_visit(runs: Path, page: Page) -> None:
    folder = jobs.jobs_root() / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    info = {
        "id": folder.name,
        "kind": "search",
        "title": "Search <b>x</b>",
        "argv": ["search"],
        "run": "gone",
    }
    supervisor = {"host": "elsewhere", "pid": 1, "started": 0.0}
    jobs.write_info(folder, info | {"state": "running", "created": 0.0, "supervisor": supervisor})
    test = page("home")
    assert not test.exception and "without a last word" in words(test)
    test = page("search", job=folder.name)
    assert not test.exception and "without a last word" in words(test) and button(test, "Resume")
