"""What tests share: a cache of their own, reference files, the command line run in process, and folders of runs."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

# Two workers on two cores: one thread each, set before anything imports torch.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# As `nas` does: looking for garbage among all that torch and its exporters make takes a tenth of the time.
gc.set_threshold(100_000, 50, 50)

# A shell starts background jobs with Ctrl-C ignored, and so would be every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, however slow the machine is at the moment.
settings.register_profile(
    "anyfit", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anyfit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--count-lines", metavar="FILE", help="count the lines that are reached, with -n: a JSON file"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell slipcover's plugin in the workers, before they start, what pyproject.toml says."""
    if config.getoption("--count-lines") and "PYTEST_XDIST_WORKER" not in os.environ:
        settings = tomllib.loads((config.rootpath / "pyproject.toml").read_text())["tool"]["slipcover"]
        for name, separator in (("source", ","), ("omit", ","), ("exclude-lines", "\n")):
            os.environ[f"SLIPCOVER_{name.upper().replace('-', '_')}"] = separator.join(settings[name])
        os.environ["SLIPCOVER_ENABLED"] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Keep what slipcover's plugin has added up."""
    file = config.getoption("--count-lines")
    if file and "PYTEST_XDIST_WORKER" not in os.environ:
        folder = Path(os.environ["SLIPCOVER_COVERAGE_DIR"])
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "merged.json", file)
        shutil.rmtree(folder)


class Outcome(NamedTuple):
    """What a command left: its exit code and its two streams."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep profiles and models cached by tests away from the user's."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("ANYFIT_CACHE")
    os.environ["ANYFIT_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["ANYFIT_CACHE"]
    else:
        os.environ["ANYFIT_CACHE"] = before


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference files beside the clone, or `$ANYFIT_SHARED`; without it the test is skipped."""
    folder = Path(os.environ.get("ANYFIT_SHARED") or Path(__file__).parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"needs the reference files: {folder} does not exist, name their folder in ANYFIT_SHARED")
    return folder


@pytest.fixture
def nas_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `nas` in this process, errors mapped to sentences and exit codes as for a user."""
    from nas.cli._main import run

    # Whatever terminal the tests run in, tables are as wide as in a pipe.
    monkeypatch.delenv("COLUMNS", raising=False)

    def nas_run(*args: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return nas_run


def end_jobs(runs: Path) -> None:
    """Kill what a test has left running for `runs`: it would slow down and outlive the others."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "nas.jobs.supervisor" in words and Path(words[-1]).is_relative_to(runs):
                for one in [*process.children(recursive=True), process]:
                    one.kill()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of runs, which the app and jobs use."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("ANYFIT_RUNS", str(folder))
    yield folder
    end_jobs(folder)


def on_one_core() -> None:
    """Keep this process, and what it starts, on the last core: one thread is then what a search measures by default.

    Two, on two cores that tests keep busy, wait for each other, and to measure them takes minutes.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder with a real search on the shipped classifier and an export of its answer; its profile is in the cache.

    Profiling a machine that other tests keep busy takes long: of several workers one does it for all.
    """
    own, base = tmp_path_factory.mktemp("made"), tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    with FileLock(f"{shared}.lock"):
        if not (shared / "runs" / "first-export").exists():
            _search_and_export(shared)
    shutil.copytree(shared / "cache", own_cache, dirs_exist_ok=True)
    return Path(shutil.copytree(shared / "runs", own / "runs"))


def _search_and_export(folder: Path) -> None:
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    for line in (
        "profile --samples 20 --json",
        "search --latency 20ms --trials 60 --run-dir runs/first --json",
        "export runs/first --format onnx --output runs/first-export --json --no-measure",
    ):
        done = subprocess.run(
            [sys.executable, "-m", "nas", *line.split()], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"ANYFIT_CACHE": str(folder / "cache")}, preexec_fn=on_one_core,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture
def finished(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with a search and an export, used by the app and jobs."""
    monkeypatch.setenv("ANYFIT_RUNS", str(made))
    return made
