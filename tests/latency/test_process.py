"""The measuring process: what it answers, and what is said when it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.errors import NasError
from nas.latency.measuring import process as _process
from nas.latency.measuring.measure import TurnPlan, measure, measure_memory, program_bytes
from nas.latency.measuring.process import Burst, MeasuringProcess, choose_cpus
from nas.latency.runtimes import get_runtime
from nas.latency.runtimes.onnx import to_onnx
from nas.latency.workload import Workload

ONE = Workload(threads=1)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "tiny.onnx"
    to_onnx(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval(), torch.zeros(1, 3, 2, 2), path)
    return path


def test_bursts_of_a_loaded_program(program: Path) -> None:
    with MeasuringProcess(get_runtime("onnxruntime"), ONE) as process:
        process.load("a", program)
        burst = process.burst("a", warm=1, runs=7)
        assert len(burst.ms) == 7 and min(burst.ms) > 0
        process.drop("a")
        with pytest.raises(NasError, match="cannot burst"):
            process.burst("a", warm=0, runs=1)
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="outside its context"):
        process.load("a", program)


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "SIGKILL.*lack of memory"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_dead_process_is_one_sentence(program: Path, number: int, words: str) -> None:
    with MeasuringProcess(get_runtime("onnxruntime"), ONE) as process:
        process.load("a", program)
        os.kill(process.pid, number)
        with pytest.raises(NasError, match=words) as caught:
            process.burst("a", warm=1, runs=3)
    assert "\n" not in str(caught.value)


def test_a_process_that_ends_before_it_opens_is_one_sentence(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_process.sys, "executable", "/bin/false")
    with pytest.raises(NasError, match="ended with status 1 at 'open'") as caught:
        measure({"a": program}, "onnxruntime", ONE, plan=TurnPlan(min_bursts=3, max_bursts=3))
    assert "\n" not in str(caught.value)


def test_the_worker_ends_with_its_input_and_keeps_replies_clean() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nas.latency.measuring.worker"],
        input='{"do": "load", "key": "a", "path": "x"}\nno json\n',
        capture_output=True,
        text=True,
        timeout=60,
        cwd=_process._ROOT,
        check=True,
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert "load before open" in replies[0]["error"] and "JSONDecodeError" in replies[1]["error"]


def test_the_median_of_a_burst() -> None:
    assert Burst((3.0, 1.0, 2.0)).median_ms == 2.0
    assert Burst((4.0, 1.0, 2.0, 3.0)).median_ms == 2.5


def test_cores_are_allowed_ones_and_first_threads_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    assert set(choose_cpus(1)) <= allowed
    files = {f"cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)}
    monkeypatch.setattr(
        _process, "_read", lambda path: files.get("/".join(path.parts[-3:]), "") if path else ""
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    assert choose_cpus(2) == (0, 1)
    assert choose_cpus(3) == (0, 1, 2)


def test_memory_is_that_of_the_process_that_runs_a_program(program: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    to_onnx(nn.Linear(4000, 4000).eval(), torch.zeros(1, 4000), large)
    ballast = bytearray(300 * 2**20)  # this process's memory is not that one's
    small, big = (measure_memory(path, get_runtime("onnxruntime"), ONE) for path in (program, large))
    assert small is not None and big is not None
    assert 2**20 < small < len(ballast) < 64e6 + small + len(ballast)
    assert big - small > 0.9 * program_bytes(large) > 57e6
