"""The process beside a job: waits for its turn, runs the command, and writes down how it ended.

It is started by `app.jobs`, in a session of its own, so that it outlives the app.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from app.jobs import CANCEL, PROGRESS, STDERR, STDOUT, read_info, write_info
from nas._progress import VARIABLE
from nas.search import own_process


def keep(folder: Path) -> int:
    """Run the job in `folder` once no other one runs; return its exit code."""
    info = read_info(folder)
    ended = False

    def stop(*_: object) -> None:
        raise SystemExit(130)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    write_info(folder, info | {"keeper": own_process()})
    with open(folder.parent / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two jobs that measure would disturb each other
            if (folder / CANCEL).exists():
                raise SystemExit(130)
            code = _run(folder, info)
            ended = True
        finally:
            if not ended:
                state = "cancelled" if (folder / CANCEL).exists() else "failed"
                write_info(folder, read_info(folder) | {"state": state, "code": 130})
    return code


def _run(folder: Path, info: dict) -> int:
    environment = os.environ | {VARIABLE: str(folder / PROGRESS), "PYTHONUNBUFFERED": "1", "COLUMNS": "140"}
    with open(folder / STDOUT, "wb") as out, open(folder / STDERR, "wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "nas", *info["argv"]], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=environment, cwd=info["cwd"],
        )  # fmt: skip
        started = psutil.Process(child.pid).create_time()

        def forward(*_: object) -> None:
            child.send_signal(signal.SIGTERM)

        signal.signal(signal.SIGTERM, forward)
        signal.signal(signal.SIGINT, forward)
        write_info(folder, read_info(folder) | {"state": "running", "began": started})
        if (folder / CANCEL).exists():
            forward()
        code = child.wait()
    state = {0: "finished", 3: "infeasible"}.get(code, "failed")
    if (folder / CANCEL).exists() and code:
        state = "cancelled"
    write_info(folder, read_info(folder) | {"state": state, "code": code, "ended": time.time()})
    return code


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
