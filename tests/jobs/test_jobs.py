"""Jobs: started, followed, cancelled, killed and found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from nas import jobs
from nas.errors import UsageError
from nas.files import read_json
from nas.jobs import new_name, search_words, start_search
from nas.jobs.supervisor import wait_or_stop

SLOW = {"trials": 3000, "sampler": "tpe", "threads": 1}
"""A search that takes a while, with the profile that `made` has left."""
pytestmark = pytest.mark.usefixtures("made")


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def state_of(job: jobs.Job) -> str:
    found = jobs.find(job.id)
    assert found is not None
    return found.state


def child_of(job: jobs.Job) -> psutil.Process | None:
    """Return the process that does the work."""
    info = jobs.read_info(job.folder)
    supervisor = info.get("supervisor")
    if supervisor is None or not psutil.pid_exists(supervisor["pid"]):
        return None
    children = psutil.Process(supervisor["pid"]).children()
    return children[0] if children else None


def test_a_job_ends_with_its_answer_and_can_be_read_by_anyone(runs: Path) -> None:
    job = jobs.start("list", "List", ["list", "--json"])
    wait(lambda: not jobs.find(job.id).is_live)  # type: ignore[union-attr]
    found = jobs.find(job.id)
    assert found is not None and found.state == "finished", found.log() if found else ""
    assert "mbv3-cifar10" in found.output() and found.seconds is not None
    assert [one.id for one in jobs.jobs("list")] == [job.id]
    assert jobs.typical_seconds("list", ["--json"]) == (found.seconds, 1)


def test_a_job_that_fails_says_why_in_a_sentence(runs: Path) -> None:
    job = jobs.start("show", "Show", ["show", "nothing-of-this-name"])
    wait(lambda: not jobs.find(job.id).is_live)  # type: ignore[union-attr]
    found = jobs.find(job.id)
    assert found is not None and found.state == "failed"
    assert "nothing-of-this-name" in found.failure() and "Traceback" not in found.log()


def test_a_search_is_followed_cancelled_and_resumed(runs: Path) -> None:
    job = start_search("mbv3-cifar10", {"latency": "20ms"}, SLOW)
    assert job.run is not None
    wait(lambda: (found := jobs.find(job.id)) and (found.progress() or {}).get("stage") == "searching", 120)
    wait(lambda: (runs / str(job.run) / "pareto.csv").is_file())
    found = jobs.find(job.id)
    assert found is not None and found.is_live
    found.cancel()
    wait(lambda: state_of(job) not in jobs.LIVE, 120)
    assert state_of(job) == "cancelled"
    info = read_json(runs / job.run / "run.json")
    assert info["state"] == "interrupted"
    again = jobs.Job(job.id, job.folder, jobs.read_info(job.folder)).again()
    assert again.argv[:2] == ["search", "--resume"]
    wait(lambda: state_of(again) == "running", 60)
    assert again.info["state"] == "queued"  # what a page may have read some time ago
    again.cancel()
    wait(lambda: state_of(again) not in jobs.LIVE, 60)
    assert state_of(again) == "cancelled"


def test_a_command_that_does_not_listen_is_stopped_in_the_end(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline()
    cancel = tmp_path / "cancel"
    cancel.touch()
    urges = ((0.0, signal.SIGTERM), (0.5, signal.SIGTERM), (1.0, signal.SIGKILL))
    assert wait_or_stop(child, cancel, urges) == -signal.SIGKILL
    child.stdout.close()


def test_a_killed_job_is_seen_as_dead(runs: Path) -> None:
    job = start_search("mbv3-cifar10", {"latency": "20ms"}, SLOW)
    wait(lambda: child_of(job) is not None)
    child, supervisor = child_of(job), jobs.read_info(job.folder)["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    assert child is not None
    child.kill()
    wait(lambda: state_of(job) == "dead")
    found = jobs.find(job.id)
    assert found is not None and "without a last word" in found.failure()


def test_jobs_wait_for_each_other_and_a_waiting_one_can_be_cancelled(runs: Path) -> None:
    first = start_search("mbv3-cifar10", {"latency": "20ms"}, SLOW)
    wait(lambda: state_of(first) == "running")
    second = jobs.start("list", "List", ["list"])
    time.sleep(1.0)
    assert state_of(second) == "queued"
    wait(lambda: jobs.read_info(second.folder).get("supervisor"))
    jobs.find(second.id).cancel()  # type: ignore[union-attr]
    wait(lambda: state_of(second) == "cancelled")
    jobs.find(first.id).cancel()  # type: ignore[union-attr]
    wait(lambda: state_of(first) not in jobs.LIVE, 120)


@pytest.mark.parametrize("identity", ["", "..", "../x", "a/b", ".lock", "20260101-000000-abc"])
def test_only_jobs_are_found(runs: Path, identity: str) -> None:
    assert jobs.find(identity) is None


def test_words_are_passed_as_words_and_never_through_a_shell(runs: Path) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        start_search("mbv3-cifar10", {"latency": "20ms; rm -rf ."})
    assert jobs.jobs() == [] and list(runs.iterdir()) == []
    words = search_words("a model; id", {"latency": "20ms"}, "x")
    assert words[2] == "a model; id"
    assert jobs.command_line(words).startswith("nas search --model 'a model; id' --latency 20ms")
    for name in ("../out", "", "a/b"):
        with pytest.raises(UsageError):
            new_name(name)
