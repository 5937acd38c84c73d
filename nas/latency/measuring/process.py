"""The parent's side of the measuring process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from nas.errors import NasError
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload

_ROOT = Path(__file__).resolve().parents[3]
_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Burst:
    """Consecutive timed runs of one program.

    `waited_ms` is how long its threads were ready to run meanwhile and another program had their core, added up; None
    where the system does not tell (only Linux does).
    """

    ms: tuple[float, ...]
    waited_ms: float | None = None

    @cached_property
    def median_ms(self) -> float:
        """The median of the runs."""
        ordered = sorted(self.ms)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @cached_property
    def waited_share(self) -> float:
        """The time that was waited for a core, as a share of the burst.

        Where the system does not tell, it is what runs took beyond one and a half times their median.
        """
        waited = self.waited_ms
        if waited is None:
            limit = 1.5 * self.median_ms
            waited = sum(max(ms - limit, 0.0) for ms in self.ms)
        return waited / max(sum(self.ms), 1e-9)


class MeasuringProcess:
    """A worker process of one runtime and workload, as a context manager.

    Raises `NasError` in one sentence when the process dies or a program does not run.
    """

    def __init__(self, runtime: Runtime, workload: Workload) -> None:
        runtime.require(workload)
        self._runtime = runtime
        self._workload = workload
        self.cpus = choose_cpus(workload.threads)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> MeasuringProcess:
        command = [sys.executable, "-P", "-m", "nas.latency.measuring.worker"]
        environment = _environment(self._workload.threads)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        try:
            self._ask(
                do="open", runtime=self._runtime.name, workload=self._workload.to_dict(), cpus=list(self.cpus)
            )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (process := self._process) is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with suppress(OSError):  # unsent bytes for a process that is gone
                    stream.close()
        self._errors.close()
        self._process = None

    @property
    def pid(self) -> int:
        """The process's id, so that its own work is not taken for somebody else's."""
        return self._process.pid if self._process else 0

    def load(self, key: str, path: Path, batch_size: int | None = None) -> None:
        """Open the program file `path` under the name `key`, for the workload's batch size or another."""
        self._ask(do="load", key=key, path=str(path), batch_size=batch_size)

    def drop(self, key: str) -> None:
        """Close a program."""
        self._ask(do="drop", key=key)

    def burst(self, key: str, warm: int, runs: int) -> Burst:
        """Run a program `warm` times untimed, then `runs` times."""
        reply = self._ask(do="burst", key=key, warm=warm, runs=runs)
        waited = reply["waited_ns"]
        return Burst(tuple(ns / 1e6 for ns in reply["ns"]), None if waited is None else waited / 1e6)

    def peak_memory(self) -> int | None:
        """Return the most memory, in bytes, that the process ever had; None where the system does not tell."""
        return self._ask(do="memory")["bytes"]

    def _ask(self, **request: Any) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the measuring process is used outside its context")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise NasError(self._obituary(process, request))
        reply = json.loads(line)
        if "error" in reply:
            raise NasError(f"{self._runtime.name} cannot {request['do']} the program: {reply['error']}")
        return reply

    def _obituary(self, process: subprocess.Popen[str], request: dict[str, Any]) -> str:
        code = process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with status {code}"
        hint = (
            "; this is often a lack of memory: close other programs or take a smaller batch"
            if code == -9
            else ""
        )
        said = f" ({lines[-1].strip()})" if lines else ""
        return f"the process that measures with {self._runtime.name} {how} at {request['do']!r}{said}{hint}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment(threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = str(threads)
    # A source checkout is not on the path of a new process; an installed package is, and must not come before the
    # standard library.
    if _ROOT.name not in ("site-packages", "dist-packages"):
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{_ROOT}{os.pathsep}{known}" if known else str(_ROOT)
    return environment


def choose_cpus(threads: int) -> tuple[int, ...]:
    """Choose the cores to bind to: the fastest, one thread of each before a second; none where binding is unknown."""
    if not hasattr(os, "sched_setaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    return tuple(sorted(sorted(allowed, key=lambda cpu: (_sibling_rank(cpu), -_speed(cpu), cpu))[:threads]))


def _sibling_rank(cpu: int) -> int:
    """Return 0 for the first hardware thread of a core, 1 for the second."""
    siblings = _expand(_read(_CPU / f"cpu{cpu}/topology/thread_siblings_list"))
    return siblings.index(cpu) if cpu in siblings else 0


def _speed(cpu: int) -> int:
    text = _read(_CPU / f"cpu{cpu}/cpufreq/cpuinfo_max_freq") or _read(_CPU / f"cpu{cpu}/cpu_capacity")
    return int(text) if text.isdigit() else 0


def _expand(ranges: str) -> Sequence[int]:
    """Read a list of the kernel's, such as "0-1,4"."""
    numbers: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
