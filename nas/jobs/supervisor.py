"""The process beside a job: waits for its turn, runs the command, and writes down how it ended.

It is started by `nas.jobs.start`, in a session of its own, so that it outlives whoever starts it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from nas.jobs._job import CANCEL, PROGRESS, STDERR, STDOUT, read_info, write_info
from nas.jobs._turn import turn
from nas.progress import VARIABLE
from nas.search import own_process

_ASK_EVERY_S = 0.2
_URGES = ((0.0, signal.SIGTERM), (300.0, signal.SIGTERM), (360.0, signal.SIGKILL))
"""What a cancelled command is told after how many seconds: to end with its best so far, at once, and by force."""


def keep(folder: Path) -> int:
    """Run the job in `folder` once no other one runs; return its exit code."""
    info = read_info(folder)
    ended = False

    def stop(*_: object) -> None:
        raise SystemExit(130)

    _on_signals(stop)
    write_info(folder, info | {"supervisor": own_process()})
    try:
        with turn(wait=True, root=folder.parent):
            _on_signals(lambda *_: (folder / CANCEL).touch())  # from here on there is a command to be told
            if (folder / CANCEL).exists():
                raise SystemExit(130)
            code = _run(folder, info)
            ended = True
    finally:
        if not ended:
            state = "cancelled" if (folder / CANCEL).exists() else "failed"
            write_info(folder, read_info(folder) | {"state": state, "code": 130})
    return code


def _on_signals(handler: Callable[..., object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _run(folder: Path, info: dict) -> int:
    environment = os.environ | {VARIABLE: str(folder / PROGRESS), "PYTHONUNBUFFERED": "1", "COLUMNS": "140"}
    with open(folder / STDOUT, "wb") as out, open(folder / STDERR, "wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "nas", *info["argv"]], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=environment, cwd=info["cwd"],
        )  # fmt: skip
        started = psutil.Process(child.pid).create_time()
        write_info(folder, read_info(folder) | {"state": "running", "began": started})
        code = wait_or_stop(child, folder / CANCEL)
    state = {0: "finished", 3: "infeasible"}.get(code, "failed")
    if (folder / CANCEL).exists() and code:
        state = "cancelled"
    write_info(folder, read_info(folder) | {"state": state, "code": code, "ended": time.time()})
    return code


def wait_or_stop(
    child: subprocess.Popen[bytes], cancel: Path, urges: Sequence[tuple[float, signal.Signals]] = _URGES
) -> int:
    """Return the exit code of `child`; once the file `cancel` exists, send it one of `urges` after the other.

    It is the file that is looked for, not a signal that is passed on: whenever it was written, it is seen.
    """
    left, asked = list(urges), 0.0
    while True:
        try:
            return child.wait(_ASK_EVERY_S)
        except subprocess.TimeoutExpired:
            if not cancel.exists():
                continue
        asked = asked or time.monotonic()
        if left and time.monotonic() - asked >= left[0][0]:
            child.send_signal(left.pop(0)[1])


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
