"""What every test shares: a cache of its own, the reference files, and the command line run in process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# Two workers on two cores: one thread each, set before anything imports torch.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# A shell starts background jobs with Ctrl-C ignored, and so would be every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, however slow the machine is at the moment.
settings.register_profile(
    "anyfit", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anyfit")


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
