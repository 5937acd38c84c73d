"""Profiles of this machine for a model: made, taken from elsewhere, and how far the machine has moved from one."""

from __future__ import annotations

from pathlib import Path

from nas import latency
from nas.errors import UsageError
from nas.latency.profiles.profile import SAMPLES
from nas.models import Model
from nas.progress import Listener, as_progress


def profile_model(
    model: Model,
    *,
    runtime: str | None = None,
    threads: int = 1,
    batch_size: int = 1,
    samples: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Listener | None = None,
) -> latency.Profile:
    """Return this machine's profile of a model; `nas.Model.profile` says what the arguments are."""
    chosen, workload, path = _place(model, runtime, threads, batch_size)
    if path.exists() and not force:
        return latency.load_profile(model, chosen, workload)
    hear = as_progress(progress)
    advance = hear.steps("measuring subnets")
    found = latency.build_profile(model, chosen, workload, samples or SAMPLES, seed, advance, hear.remark)
    found.save(path)
    return found


def import_profile(
    model: Model, file: str | Path, *, runtime: str | None = None, threads: int = 1, batch_size: int = 1
) -> latency.Profile:
    """Check a profile from elsewhere, and put it where searches find it.

    Args:
        model: What it is of.
        file: What `Profile.save` wrote, on a machine like this one.
        runtime: As for `nas.Model.profile`, and so are `threads` and `batch_size`.

    Raises:
        NasError: A damaged profile, or one of another model, machine, runtime or workload: what differs is said.
    """
    chosen, workload, path = _place(model, runtime, threads, batch_size)
    found = latency.load_profile(model, chosen, workload, file)
    found.save(path)
    return found


def measure_drift(
    model: Model,
    *,
    runtime: str | None = None,
    threads: int = 1,
    batch_size: int = 1,
    progress: Listener | None = None,
) -> latency.Drift:
    """Measure a few of the cached profile's subnets again: how far is this machine from it now?

    Args:
        model: What the profile is of.
        runtime: As for `nas.Model.profile`, and so are `threads`, `batch_size` and `progress`.

    Returns:
        `ratio` is 1.2 where calm latencies are a fifth above those of the profile.

    Raises:
        UsageError: There is no such profile yet.
    """
    chosen, workload, path = _place(model, runtime, threads, batch_size)
    if not path.exists():
        raise UsageError(
            f"{model.name} has no profile under {chosen.name}, {workload}; make one with `nas profile`"
        )
    advance = as_progress(progress).steps("measuring again")
    known = latency.load_profile(model, chosen, workload)
    return latency.measure_drift(model, known, chosen, workload, progress=advance)


def profile_place(model: Model, *, runtime: str | None = None, threads: int = 1, batch_size: int = 1) -> Path:
    """Return where the profile of this machine is cached, whether it is there or not."""
    return _place(model, runtime, threads, batch_size)[2]


def _place(
    model: Model, runtime: str | None, threads: int, batch_size: int
) -> tuple[latency.Runtime, latency.Workload, Path]:
    chosen = latency.chosen_runtime(runtime)
    workload = latency.Workload(batch_size=batch_size, threads=threads)
    chosen.require(workload)
    return chosen, workload, latency.profile_path(model, chosen, workload)


__all__ = ["import_profile", "measure_drift", "profile_model", "profile_place"]
