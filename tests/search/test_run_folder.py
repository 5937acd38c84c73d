"""A run's folder: never half-written, found again after a kill, an interruption, a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nas.errors import NasError, UsageError
from nas.files import read_json
from nas.search import Budget, RunFolder, SearchConfig, new_run, resume_run
from nas.search.results.report import round_rungs
from nas.search.trials.folder import free_name
from nas.search.trials.storage import JOURNAL
from nas.search.trials.study import Record
from tests.search.fakes import LIMIT, SPACE, TOP1, FakeTestbed, searched
from tests.search.slow_search import REQUEST, make_bed


def test_an_existing_folder_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        searched(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_run_appears_with_its_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def writing(path: Path, value: object) -> None:
        seen.append((tmp_path / "run").exists())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("nas.search.trials.folder.write_json", writing)
        RunFolder.create(tmp_path / "run", {"model": "fake"})
    assert seen == [False] and not list(tmp_path.iterdir())
    made = RunFolder.create(tmp_path / "run", {"model": "fake"})
    assert made.path == tmp_path / "run" and RunFolder.open(made.path).info["state"] == "running"
    assert [path.name for path in made.path.iterdir()] == ["run.json"]


def test_a_search_killed_before_its_description_leaves_its_name_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from nas.search.trials import folder\n"
        "folder.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder.RunFolder.create(Path(sys.argv[1]), {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run-1")])
    assert done.returncode == -signal.SIGKILL
    assert free_name(tmp_path, "run") == tmp_path / "run-1"
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_place_that_cannot_be_written_costs_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        NasError, match=r"cannot make .*run: .*choose a writable place with --run-dir"
    ) as caught:
        RunFolder.create(tmp_path / "file" / "run", {})
    assert str(caught.value).count("choose a writable place") == 1


def test_the_default_folder_counts_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = SearchConfig(Budget(latency_ms=LIMIT), "fake", trials=20)
    names = [str(new_run(request, FakeTestbed(SPACE), None, "fake-15ms").run_dir) for _ in range(2)]
    assert names == ["runs/fake-15ms-1", "runs/fake-15ms-2"]
    assert free_name(tmp_path / "runs", "fake-15ms") == tmp_path / "runs" / "fake-15ms-3"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run folder"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "anyfit-run", "version"')
    with pytest.raises(NasError, match="not complete JSON"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "else"}')
    with pytest.raises(NasError, match="not of format"):
        RunFolder.open(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "anyfit-run", "version": 99}')
    with pytest.raises(NasError, match="format version 99"):
        RunFolder.open(tmp_path)


def test_a_failed_search_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    measure = bed.measure

    def broken(codes: np.ndarray) -> list[object]:
        raise NasError("the worker died")

    bed.measure = broken  # type: ignore[assignment]
    with pytest.raises(NasError, match="the worker died"):
        searched(tmp_path / "run", bed, trials=50)
    assert read_json(tmp_path / "run" / "run.json")["state"] == "failed"
    bed.measure = measure  # type: ignore[method-assign]
    assert resume_run(RunFolder.open(tmp_path / "run"), bed).answer is not None


def test_round_rungs_are_round_spread_and_apart_from_the_budget() -> None:
    assert round_rungs(1.0, 32.0, 1000.0) == [2.0, 4.0, 8.0, 16.0]
    assert round_rungs(1.0, 32.0, 8.2) == [2.0, 4.0, 16.0]
    assert round_rungs(5.0, 5.0, 100.0) == [5.0]


# --- interruptions ----------------------------------------------------------------------------------------------------


def start(path: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.search.slow_search", str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def wait_for_trials(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (path / JOURNAL).exists() and (path / JOURNAL).read_bytes().count(b'"state":1') >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} trials appeared")


def trials_of(path: Path) -> list[list[int]]:
    return Record(path, path.name, make_bed().space, REQUEST.budget, quality=TOP1).load().codes.tolist()


def test_a_killed_search_resumes_with_every_finished_trial(tmp_path: Path) -> None:
    whole = new_run(REQUEST, make_bed(), tmp_path / "whole", "fake")
    path = tmp_path / "killed"
    process = start(path)
    wait_for_trials(path, 20)
    with pytest.raises(UsageError, match="still being searched by process"):
        resume_run(RunFolder.open(path), make_bed())
    process.kill()
    process.wait()
    assert read_json(path / "run.json")["state"] == "running"
    lock = path / f"{JOURNAL}.lock"
    if not lock.is_symlink():  # it was not killed while writing: leave what that would have left
        lock.symlink_to(path / JOURNAL)
    resumed = resume_run(RunFolder.open(path), make_bed())
    assert resumed.answer == whole.answer
    assert resumed.trials == 40
    assert trials_of(path) == trials_of(tmp_path / "whole")
    assert read_json(path / "run.json")["state"] == "finished"


def test_an_interrupt_ends_with_the_best_so_far_measured(tmp_path: Path) -> None:
    path = tmp_path / "interrupted"
    process = start(path)
    wait_for_trials(path, 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    info = read_json(path / "run.json")
    assert info["state"] == "interrupted"
    assert 20 <= info["result"]["trials"] < 40
    assert info["result"]["answer"]["latency_ms"]["measured"] <= 12.0
    assert (path / "pareto.png").exists()
    resumed = resume_run(RunFolder.open(path), make_bed())
    assert resumed.trials == 40
    assert not resumed.interrupted


def test_an_interrupt_while_measuring_keeps_what_is_confirmed(tmp_path: Path) -> None:
    bed = FakeTestbed(SPACE)
    measure = bed.measure

    def third_is_interrupted(codes: np.ndarray) -> object:
        if len(bed.measured) >= 1:
            raise KeyboardInterrupt
        return measure(codes)

    bed.measure = third_is_interrupted  # type: ignore[assignment]
    outcome = searched(tmp_path / "run", bed, trials=50)
    assert outcome.interrupted
    assert outcome.answer is None
    assert "continue with --resume" in outcome.reason
    assert outcome.ladder
    assert read_json(tmp_path / "run" / "run.json")["state"] == "interrupted"
