"""The process that measures: `python -m nas.latency.measuring.worker`, requests and replies as JSON lines.

It imports only what its runtime needs, and nothing else runs in it. Its threads are bound to given cores before any
library starts its own. It ends when its standard input does, so it never outlives its parent.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import IO, Any

from nas.latency.runtimes import Run, Runtime, get_runtime
from nas.latency.workload import Workload


class Worker:
    """Answers one request after another; a program stays open until it is dropped."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._workload = Workload(threads=1)
        self._runs: dict[str, Run] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request: "open", "load", "drop", "burst" or "memory"."""
        return getattr(self, f"_{request.pop('do')}")(**request)

    def _open(self, runtime: str, workload: dict[str, Any], cpus: list[int]) -> dict[str, Any]:
        if cpus:
            os.sched_setaffinity(0, cpus)
        self._runtime = get_runtime(runtime)
        self._workload = Workload.from_dict(workload)
        self._runtime.start(self._workload)
        return {}

    def _load(self, key: str, path: str, batch_size: int | None = None) -> dict[str, Any]:
        if self._runtime is None:
            raise RuntimeError("load before open")
        workload = self._workload if batch_size is None else replace(self._workload, batch_size=batch_size)
        self._runs[key] = self._runtime.open(Path(path), workload)
        return {}

    def _drop(self, key: str) -> dict[str, Any]:
        self._runs.pop(key, None)
        gc.collect()
        return {}

    def _burst(self, key: str, warm: int, runs: int) -> dict[str, Any]:
        """Run a program `warm` times untimed (the caches are the last program's), then `runs` times."""
        run = self._runs[key]
        for _ in range(warm):
            run()
        times = []
        waited = _waited_ns()
        gc.disable()
        for _ in range(runs):
            start = perf_counter_ns()
            run()
            times.append(perf_counter_ns() - start)
        gc.enable()
        after = _waited_ns()
        return {"ns": times, "waited_ns": None if waited is None or after is None else max(after - waited, 0)}

    def _memory(self) -> dict[str, Any]:
        """Return the most memory, in bytes, that this process ever had; None where the system does not tell."""
        return {"bytes": _peak_bytes()}


def _waited_ns() -> int | None:
    """Return how long all threads of this process were kept waiting for a core so far; None where Linux does not tell.

    The second number of a thread's schedstat is the time that it spent on a run queue.
    """
    found = []
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(
                OSError, IndexError
            ):  # a thread that ended meanwhile, or a kernel that does not tell
                found.append(int((thread / "schedstat").read_bytes().split()[1]))
    return sum(found) if found else None


def _peak_bytes() -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _private_stdout() -> IO[str]:
    """Return the reply stream; whatever a library prints goes to standard error instead."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def main() -> None:
    """Answer requests until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = _private_stdout()
    worker = Worker()
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}".strip().partition("\n")[0]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
