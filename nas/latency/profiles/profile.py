"""The device profile: measured latencies of one machine, runtime and workload, and the predictor fitted to them.

A profile is bound to the search space, the model's options, the workload, the runtime's version and the machine. It is
kept in the user's cache folder; one that was made for anything else is refused with a sentence that says what differs.

Where an output takes several programs, these are measured and predicted one by one (`_passes.py`), and the profile's
samples are a few outputs that were measured whole: they judge the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas._table import Result, Table
from nas.errors import NasError
from nas.files import read_json, write_json
from nas.latency.measuring.fingerprint import machine_fingerprint, profile_path
from nas.latency.measuring.pace import rescaling
from nas.latency.measuring.reference import calm_latencies
from nas.latency.profiles.passes import SumOfPasses, mac_features
from nas.latency.runtimes import Runtime
from nas.latency.units import format_ms
from nas.latency.workload import Workload
from nas.models import Model
from nas.predict.surrogate import Surrogate
from nas.space import SearchSpace

FORMAT = "anyfit-device-profile"
FORMAT_VERSION = 2
SAMPLES = 80
GOOD_PCT = 5.0
"""The held-out median error, in percent, up to which a profile is called good."""


@dataclass
class Profile(Result):
    """Measured subnets and a predictor; latencies are calm ones in ms (see `nas.latency.measuring.pace`).

    Attributes:
        bound: Everything that the profile holds for.
        codes: The samples (n, dimensions); the smallest and the largest subnet come first.
        median_ms: Their calm medians (n,); `p90_ms` and `p99_ms` are calm quantiles.
        error: That of samples that were held out: a surrogate is fitted to all of them afterwards, a sum of programs
            to none.
        calm: The calm latencies of the reference programs, by name, that the figures are based on.
        restless: How many samples are of a machine too restless to trust them.
        made: The day when it was measured.
    """

    bound: Mapping[str, Any]
    codes: np.ndarray
    median_ms: np.ndarray
    p90_ms: np.ndarray
    p99_ms: np.ndarray
    predictor: Surrogate | SumOfPasses
    error: Mapping[str, float]
    features: Callable[[np.ndarray], np.ndarray]
    calm: Mapping[str, float] = field(default_factory=dict)
    restless: int = 0
    made: str = ""
    _now: Mapping[str, float] = field(default_factory=dict)

    @property
    def smallest_ms(self) -> float:
        """The measured latency of the smallest subnet."""
        return float(self.median_ms[0])

    @property
    def largest_ms(self) -> float:
        """The measured latency of the largest subnet."""
        return float(self.median_ms[1])

    @property
    def is_good(self) -> bool:
        """Whether predictions can be trusted: a held-out median error of at most `GOOD_PCT`."""
        return self.error["median_pct"] <= GOOD_PCT

    @property
    def doubt(self) -> str:
        """A sentence that says what is wrong with a profile that is not good, and what to do; "" for a good one."""
        if self.is_good:
            return ""
        return (
            f"this machine's profile errs by {self.error['median_pct']:.0f}% (median of held-out subnets; "
            f"{self.restless} of {len(self.codes)} samples were disturbed), so more finalists are measured; "
            "make it again on a calm machine with `nas profile --force`"
        )

    def tail(self, statistic: str) -> float:
        """Return how far a statistic lies above the median here: 1.0 for the median, about 1.05 for "p90"."""
        values = {"median": self.median_ms, "p90": self.p90_ms, "p99": self.p99_ms}[statistic]
        return float(np.median(values / self.median_ms))

    def predict_ms(self, codes: np.ndarray) -> np.ndarray:
        """Predict the calm median latency (n,) of codes (n, dimensions)."""
        found = self.predictor.predict(codes, base=self.features(codes))
        return found * rescaling(found, self.calm, self._now)

    def rescaled(self, now: Mapping[str, float]) -> Profile:
        """Return the profile as it would be, had the reference programs' calm latencies of `now` been known."""

        def scaled(ms: np.ndarray) -> np.ndarray:
            return ms * rescaling(self.median_ms, self.calm, now)

        return replace(
            self,
            median_ms=scaled(self.median_ms), p90_ms=scaled(self.p90_ms), p99_ms=scaled(self.p99_ms), _now=now,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the versioned JSON object: samples as they were measured."""
        back = rescaling(self.median_ms, self._now, self.calm) if self._now else np.ones(len(self.codes))
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "bound": dict(self.bound),
            "made": self.made,
            "smallest_ms": self.smallest_ms,
            "largest_ms": self.largest_ms,
            "error": dict(self.error),
            "is_good": self.is_good,
            "restless": self.restless,
            "calm": dict(self.calm),
            "predictor": self.predictor.to_dict(),
            "samples": samples_to_dict(
                self.codes, self.median_ms * back, self.p90_ms * back, self.p99_ms * back
            ),
        }

    def save(self, path: str | Path) -> None:
        """Write the profile as JSON, atomically."""
        write_json(path, self.to_dict())

    def summary(self) -> dict[str, Any]:
        """Return what a reader wants of it as a JSON object: all but samples and predictor."""
        return {
            "runtime": self.bound["runtime"],
            "workload": self.bound["workload"],
            "machine": self.bound["machine"],
            "samples": len(self.codes),
            "predictor": self.predictor.kind,
            "held_out_error": dict(self.error),
            "is_good": self.is_good,
            "restless_samples": self.restless,
            "made": self.made,
            "reference_calm_ms": dict(self.calm),
            "smallest_latency_ms": self.smallest_ms,
            "largest_latency_ms": self.largest_ms,
        }

    def table(self) -> Table:
        """Return the same as a table."""
        error = self.error
        rows = [
            ("subnets measured", str(len(self.codes))),
            ("smallest", format_ms(self.smallest_ms)),
            ("largest", format_ms(self.largest_ms)),
            ("predictor", self.predictor.kind),
            ("measured on", f"{self.made}, at the calm pace of this machine"),
            (f"median error on {error['n']:.0f} held-out subnets", f"{error['median_pct']:.1f}%"),
            ("Kendall's τ there", f"{error['kendall']:.3f}"),
        ]
        title = f"{self.bound['runtime']} {self.bound['runtime_version']}"
        return Table(("latency profile", title), rows, (title,))


def samples_to_dict(
    codes: np.ndarray, median_ms: np.ndarray, p90_ms: np.ndarray, p99_ms: np.ndarray
) -> dict[str, Any]:
    """Return samples as JSON has them."""
    return {
        "codes": codes.tolist(),
        "median_ms": median_ms.tolist(),
        "p90_ms": p90_ms.tolist(),
        "p99_ms": p99_ms.tolist(),
    }


def latency_features(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    """Return the predictor's known features: MACs of every part and of all, their logarithm, the number of parts."""

    def features(codes: np.ndarray) -> np.ndarray:
        return mac_features(model.supernet.part_macs(codes))

    return features


def bound_to(model: Model, runtime: Runtime, workload: Workload) -> dict[str, Any]:
    """Return everything that a profile holds for."""
    return {
        "space": model.space.digest,
        "family": model.family.name,
        "options": dict(model.family.options),
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "workload": workload.to_dict(),
        "machine": machine_fingerprint(runtime.device).to_dict(),
    }


def cached_profile(model: Model, runtime: Runtime, workload: Workload) -> Profile | None:
    """Return the cached profile, or None where there is none of this version; a damaged one raises `NasError`."""
    path = profile_path(model, runtime, workload)
    if not path.exists():
        return None
    value = read_json(path)
    if isinstance(value, dict) and value.get("format") == FORMAT and value.get("version") != FORMAT_VERSION:
        return None
    return load_profile(model, runtime, workload)


def load_profile(
    model: Model, runtime: Runtime, workload: Workload, path: str | Path | None = None
) -> Profile:
    """Load the cached profile, or the one at `path`; a damaged or foreign one raises `NasError` naming what differs."""
    file = Path(path) if path is not None else profile_path(model, runtime, workload)
    value = read_json(file)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NasError(f'{file} is no device profile of format "{FORMAT}"; make one with `nas profile`')
    if value.get("version") != FORMAT_VERSION:
        raise NasError(
            f"{file} has format version {value.get('version')!r}, not {FORMAT_VERSION}; run `nas profile`"
        )
    try:
        _refuse_foreign(file, dict(value["bound"]), bound_to(model, runtime, workload))
        profile = Profile(
            value["bound"],
            *read_samples(value["samples"], model.space),
            predictor=_read_predictor(value["predictor"], model),
            error={**value["error"], "median_pct": float(value["error"]["median_pct"])},
            features=latency_features(model),
            calm={name: float(ms) for name, ms in value["calm"].items()},
            restless=int(value["restless"]),
            made=str(value["made"]),
        )
        return profile.rescaled(calm_latencies(model.family, runtime, workload))
    except (KeyError, TypeError, ValueError) as error:
        raise NasError(f"{file} is damaged ({error!r}); run `nas profile --force`") from error


def _read_predictor(value: Mapping[str, Any], model: Model) -> Surrogate | SumOfPasses:
    if value["kind"] == SumOfPasses.kind:
        return SumOfPasses.from_dict(value, model)
    return Surrogate.from_dict(value, model.space)


def _refuse_foreign(file: Path, given: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for key, expected in here.items():
        if given.get(key) == expected:
            continue
        if key == "machine":
            differences = machine_fingerprint("cuda" if expected.get("gpu") else "cpu").differences(
                given[key]
            )
            what = f"for another machine: {', '.join(differences)}"
        else:
            what = f"for {key.replace('_', ' ')} {given.get(key)!r}, not {expected!r}"
        raise NasError(f"{file} was made {what}; run `nas profile --force` to measure anew")


def read_samples(
    samples: Mapping[str, Any], space: SearchSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read samples: codes, medians and quantiles; raises `ValueError` where they do not fit together."""
    codes = space.canonical_codes(
        np.array(samples["codes"], dtype=np.int16).reshape(-1, len(space.dimensions))
    )
    median_ms, p90_ms, p99_ms = (
        np.array(samples[key], dtype=np.float64) for key in ("median_ms", "p90_ms", "p99_ms")
    )
    if not len(codes) == len(median_ms) == len(p90_ms) == len(p99_ms) or (median_ms <= 0).any():
        raise ValueError("its samples do not fit together")
    return codes, median_ms, p90_ms, p99_ms
