"""What other programs do to the machine while a latency is measured."""

from __future__ import annotations

from time import monotonic

import psutil


class OtherLoad:
    """Watches, from its making, how busy processes other than this one and its worker keep the cores."""

    def __init__(self, worker: int) -> None:
        self._processes = [psutil.Process(), psutil.Process(worker)]
        self._own = 0.0
        self._start, self._busy, self._own = monotonic(), _busy_seconds(), self._own_seconds()

    def share(self) -> float:
        """Return the share of all cores, from 0 to 1, that others have used."""
        elapsed = max(monotonic() - self._start, 1e-3) * (psutil.cpu_count() or 1)
        others = (_busy_seconds() - self._busy) - (self._own_seconds() - self._own)
        return round(min(max(others / elapsed, 0.0), 1.0), 3)

    def _own_seconds(self) -> float:
        try:
            times = [process.cpu_times() for process in self._processes]
        except psutil.Error:
            return self._own
        return sum(time.user + time.system for time in times)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    # A hypervisor's steal is other people's work too; idle, I/O wait and guest time (part of user) are not.
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
