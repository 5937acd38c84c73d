"""The zoo profile: which published models were measured on this machine, and how long they took.

It is kept in the user's cache folder, for each machine, runtime and workload, and written after every few models, so
that whatever ends a search costs no measurement. Every search adds to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import NasError
from nas.files import cache_folder, read_json, write_json
from nas.latency import Measurement, Runtime, Workload, machine_fingerprint
from nas.latency.measuring.pace import rescaling
from nas.zoo.facts import Zoo

FORMAT = "anyfit-zoo-profile"
FORMAT_VERSION = 1
_RUNS = 3  # measurements of a model that are kept
_UNEVEN = 0.05  # how far two of them may differ: then a third one decides


@dataclass(frozen=True)
class Timed:
    """What was measured of a model: the calm medians of its last measurements, in ms, the newest last."""

    runs_ms: tuple[float, ...]
    is_restless: bool = False

    @property
    def ms(self) -> float:
        """The median of three, the longer of two: a budget is a promise."""
        return sorted(self.runs_ms)[len(self.runs_ms) // 2]

    @property
    def is_uneven(self) -> bool:
        """Whether two measurements tell different things, and no third one has decided yet."""
        return len(self.runs_ms) == 2 and max(self.runs_ms) > (1 + _UNEVEN) * min(self.runs_ms)


@dataclass
class ZooProfile:
    """Measured models of a zoo by their programs, and those that cannot be measured with the reason.

    Attributes:
        path: Where it is kept.
        bound: Everything that it holds for.
        timed: What was measured.
        skipped: What could not be measured, and why.
        calm: The calm latencies of the reference programs that the figures are based on.
    """

    path: Path
    bound: Mapping[str, Any]
    timed: dict[str, Timed] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    calm: Mapping[str, float] = field(default_factory=dict)

    def record(self, found: Mapping[str, Measurement | str], calm: Mapping[str, float]) -> None:
        """Add what was measured, bring what was known to the calm pace that is known now, and write."""
        self.rebase(calm)
        for program, result in found.items():
            if isinstance(result, str):
                self.skipped[program] = result
                continue
            known = self.timed.get(program)
            # What a restless moment said gives way to what a calm one says.
            is_calmer = known is not None and known.is_restless and not result.is_restless
            before = () if known is None or is_calmer else known.runs_ms
            is_restless = result.is_restless and (known is None or known.is_restless)
            self.timed[program] = Timed((*before, result.median_ms)[-_RUNS:], is_restless)
        write_json(self.path, self.to_dict())

    def rebase(self, calm: Mapping[str, float]) -> None:
        """Bring what is known to other calm latencies of the reference programs."""
        if calm and calm != self.calm:
            for program, timed in self.timed.items():
                ms = np.array(timed.runs_ms)
                self.timed[program] = replace(
                    timed, runs_ms=tuple((ms * rescaling(ms, self.calm, calm)).tolist())
                )
            self.calm = dict(calm)

    def to_dict(self) -> dict[str, Any]:
        """Return the versioned JSON object."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "bound": dict(self.bound),
            "calm": dict(self.calm),
            "timed": {
                name: {"runs_ms": [*timed.runs_ms], "restless": timed.is_restless}
                for name, timed in self.timed.items()
            },
            "skipped": self.skipped,
        }


def open_profile(zoo: Zoo, runtime: Runtime, workload: Workload) -> ZooProfile:
    """Return what this machine knows of a zoo; nothing where that is damaged or of another version of anything."""
    machine = machine_fingerprint(runtime.device)
    bound = {
        "zoo": zoo.name,
        "timm": version("timm"),
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "workload": workload.to_dict(),
        "machine": machine.to_dict(),
    }
    name = f"{zoo.name}-{runtime.name}-{workload.key}-{machine.digest}.json"
    profile = ZooProfile(cache_folder() / "zoo" / name, bound)
    if not profile.path.exists():
        return profile
    try:
        value = read_json(profile.path)
        if (value["format"], value["version"], value["bound"]) != (FORMAT, FORMAT_VERSION, bound):
            return profile
        timed = {
            name: Timed(tuple(float(ms) for ms in own["runs_ms"]), bool(own["restless"]))
            for name, own in value["timed"].items()
            if name in zoo.programs
        }
        if any(not timed_model.runs_ms or min(timed_model.runs_ms) <= 0 for timed_model in timed.values()):
            return profile
        skipped = {str(name): str(reason) for name, reason in value["skipped"].items()}
        return replace(profile, timed=timed, skipped=skipped, calm=dict(value["calm"]))
    except (NasError, KeyError, TypeError, ValueError, AttributeError):
        return profile


__all__ = ["Timed", "ZooProfile", "open_profile"]
