"""The device profile: measured latencies of one machine, runtime and workload, and the predictor fitted to them.

A profile is bound to the search space, the model's options, the workload, the runtime's version and the machine. It is
kept in the user's cache folder; one that was made for anything else is refused with a sentence that says what differs.

Where an output takes several programs, these are measured and predicted one by one (`_passes.py`), and the profile's
samples are a few outputs that were measured whole: they judge the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas._errors import NasError
from nas._files import cache_folder, read_json, write_json
from nas.latency._passes import ProgramProfiler, SumOfPasses, mac_features
from nas.latency._rounds import Plan
from nas.latency.fingerprint import machine_fingerprint
from nas.latency.workload import Workload
from nas.space.surrogate import Surrogate, errors

if TYPE_CHECKING:
    from nas.families import Model
    from nas.latency.runtimes import Runtime
    from nas.space import SearchSpace

FORMAT = "anyfit-device-profile"
FORMAT_VERSION = 1
SAMPLES = 80
_BATCH = 20  # subnets measured together; after each batch the profile so far is on disk
_HELD_OUT = 5  # every fifth sample judges the predictor
_WHOLE = 10  # outputs of several programs that are measured whole, the smallest and the largest among them

Progress = Callable[[int, int], None]


@dataclass
class Profile:
    """Measured subnets and a predictor; latencies are medians in ms.

    `error` is that of samples that were held out: a surrogate is fitted to all of them afterwards, a sum of programs
    to none.
    """

    bound: Mapping[str, Any]
    codes: np.ndarray
    median_ms: np.ndarray
    p90_ms: np.ndarray
    predictor: Surrogate | SumOfPasses
    error: Mapping[str, float]
    features: Callable[[np.ndarray], np.ndarray]

    @property
    def smallest_ms(self) -> float:
        """The measured latency of the smallest subnet."""
        return float(self.median_ms[0])

    @property
    def largest_ms(self) -> float:
        """The measured latency of the largest subnet."""
        return float(self.median_ms[1])

    def predict_ms(self, codes: np.ndarray) -> np.ndarray:
        """Predict the latency (n,) of codes (n, dimensions)."""
        return self.predictor.predict(codes, base=self.features(codes))

    def to_dict(self) -> dict[str, Any]:
        """Return the versioned JSON object."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "bound": dict(self.bound),
            "smallest_ms": self.smallest_ms,
            "largest_ms": self.largest_ms,
            "error": dict(self.error),
            "predictor": self.predictor.to_dict(),
            "samples": _samples(self.codes, self.median_ms, self.p90_ms),
        }

    def save(self, path: str | Path) -> None:
        """Write the profile as JSON, atomically."""
        write_json(path, self.to_dict())


def _samples(codes: np.ndarray, median_ms: np.ndarray, p90_ms: np.ndarray) -> dict[str, Any]:
    return {"codes": codes.tolist(), "median_ms": median_ms.tolist(), "p90_ms": p90_ms.tolist()}


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


def profile_path(model: Model, runtime: Runtime, workload: Workload) -> Path:
    """Return where the profile of a model is cached."""
    digest = machine_fingerprint(runtime.device).digest
    return cache_folder() / "profiles" / f"{model.name}-{runtime.name}-{workload.key}-{digest}.json"


def cached_profiles() -> list[Path]:
    """Return the paths of all cached profiles."""
    return sorted((cache_folder() / "profiles").glob("*.json"))


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
        codes, median_ms, p90_ms = _read_samples(value["samples"], model.space)
        predictor = _read_predictor(value["predictor"], model)
        features = latency_features(model)
        return Profile(value["bound"], codes, median_ms, p90_ms, predictor, value["error"], features)
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


def _read_samples(
    samples: Mapping[str, Any], space: SearchSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = space.canonical_codes(
        np.array(samples["codes"], dtype=np.int16).reshape(-1, len(space.dimensions))
    )
    median_ms, p90_ms = (np.array(samples[key], dtype=np.float64) for key in ("median_ms", "p90_ms"))
    if not len(codes) == len(median_ms) == len(p90_ms) or (median_ms <= 0).any():
        raise ValueError("its samples do not fit together")
    return codes, median_ms, p90_ms


def choose_samples(model: Model, count: int, seed: int) -> np.ndarray:
    """Return codes (count, dimensions) that cover the space: the smallest, the largest, then evenly over log MACs.

    Subnets drawn uniformly crowd around the middle; half of the pool comes from mutated ends, so that both ends are
    covered too.
    """
    rng = np.random.default_rng(seed)
    pool, ends = _pool(model, count, rng)
    pool = pool[~((pool[:, None] == ends[None]).all(2).any(1))]
    chosen = _spread(np.log(model.supernet.counts(pool)["macs"]), max(count - len(ends), 0), rng)
    return np.concatenate([ends, pool[rng.permutation(chosen)]])[:count]


def _pool(model: Model, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return different subnets to choose from, and the smallest and the largest."""
    space = model.space
    ends = space.codes([space.smallest(), space.largest()])
    near = [space.mutate_codes(np.repeat(ends, 10 * count, axis=0), rng, rate) for rate in (0.1, 0.3, 0.5)]
    return np.unique(np.concatenate([space.sample_codes(rng, 20 * count), *near]), axis=0), ends


def _spread(log_macs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to `count` positions, evenly over log MACs."""
    order = np.argsort(log_macs, kind="stable")
    edges = np.linspace(log_macs.min(), log_macs.max(), count + 1)
    chosen = []
    for low, high in pairwise(edges):
        inside = order[np.searchsorted(log_macs[order], low) : max(np.searchsorted(log_macs[order], high), 0)]
        left = np.setdiff1d(inside, chosen) if len(inside) else np.setdiff1d(order, chosen)
        if len(left):
            chosen.append(int(rng.choice(left)))
    return np.array(chosen, dtype=int)


def build_profile(
    model: Model,
    runtime: Runtime,
    workload: Workload,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Profile:
    """Measure `samples` subnets and fit the predictor.

    What was measured is kept beside the profile's place while this runs: interrupted, it goes on from there.
    Raises `NasError` for fewer than 20 samples.
    """
    if samples < 20:
        raise NasError(f"{samples} samples are asked for; a profile needs at least 20")
    bound = bound_to(model, runtime, workload)
    partial = profile_path(model, runtime, workload).with_suffix(".partial")
    if [*model.family.programs] != [""]:
        return _build_sum(model, runtime, workload, samples, seed, partial, bound, progress)
    wanted = choose_samples(model, samples, seed)
    known = _read_partial(partial, bound, model.space)
    codes, median_ms, p90_ms = _measure_all(
        model, runtime, workload, wanted, known, (partial, bound), progress
    )
    features = latency_features(model)
    base = features(codes)
    held = np.arange(len(codes)) % _HELD_OUT == _HELD_OUT - 1
    judged = Surrogate.fit(model.space, codes[~held], median_ms[~held], base=base[~held], seed=seed)
    error = errors(judged.predict(codes[held], base=base[held]), median_ms[held])
    predictor = Surrogate.fit(model.space, codes, median_ms, base=base, kinds=(judged.kind,), seed=seed)
    partial.unlink(missing_ok=True)
    return Profile(bound, codes, median_ms, p90_ms, predictor, error, features)


def _build_sum(
    model: Model,
    runtime: Runtime,
    workload: Workload,
    samples: int,
    seed: int,
    partial: Path,
    bound: Mapping[str, Any],
    progress: Progress | None,
) -> Profile:
    """Measure the programs one by one, then a few whole outputs that judge their sum."""
    rng = np.random.default_rng(seed)
    pool, _ = _pool(model, samples, rng)

    def choose(codes: np.ndarray, log_macs: np.ndarray, count: int) -> np.ndarray:
        first_and_last = np.array([log_macs.argmin(), log_macs.argmax()])
        return np.union1d(first_and_last, _spread(log_macs, count - 2, rng))

    profiler = ProgramProfiler(model, runtime, workload, partial, bound)
    wanted = profiler.plan(samples, pool, choose)
    programs = sum(map(len, wanted.values()))

    def report(done: int) -> None:
        if progress:
            progress(done, programs + _WHOLE)

    predictor = profiler.run(wanted, report)
    keep = partial.with_suffix(".whole.partial"), bound
    codes, median_ms, p90_ms = _measure_all(
        model, runtime, workload, choose_samples(model, _WHOLE, seed), _read_partial(*keep, model.space), keep,
        lambda done, _: report(programs + done),
    )  # fmt: skip
    error = errors(predictor.predict(codes), median_ms)
    for path in (partial, keep[0]):
        path.unlink(missing_ok=True)
    return Profile(bound, codes, median_ms, p90_ms, predictor, error, latency_features(model))


def _read_partial(
    path: Path, bound: Mapping[str, Any], space: SearchSpace
) -> dict[bytes, tuple[float, float]]:
    if not path.exists():
        return {}
    try:
        value = read_json(path)
        if value["bound"] != bound:
            return {}
        codes, median_ms, p90_ms = _read_samples(value["samples"], space)
    except (NasError, KeyError, TypeError, ValueError):
        return {}
    return {
        row.tobytes(): (m, p) for row, m, p in zip(codes, median_ms.tolist(), p90_ms.tolist(), strict=True)
    }


def _measure_all(
    model: Model,
    runtime: Runtime,
    workload: Workload,
    wanted: np.ndarray,
    known: dict[bytes, tuple[float, float]],
    keep: tuple[Path, Mapping[str, Any]],
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from nas.latency.measure import measure_subnets

    plan = Plan(target=0.02, min_bursts=5, max_bursts=10, burst_ms=4.0)
    while missing := [row for row in wanted if row.tobytes() not in known][:_BATCH]:
        done = sum(row.tobytes() in known for row in wanted)
        subnets = [model.space.from_codes(row) for row in missing]

        def advance(count: int, _total: int, done: int = done) -> None:
            if progress:
                progress(done + count, len(wanted))

        measured = measure_subnets(model, subnets, runtime, workload, advance, plan=plan)
        known |= {row.tobytes(): (m.median_ms, m.p90_ms) for row, m in zip(missing, measured, strict=True)}
        rows = [row for row in wanted if row.tobytes() in known]
        figures = np.array([known[row.tobytes()] for row in rows])
        samples = _samples(np.stack(rows), figures[:, 0], figures[:, 1])
        write_json(keep[0], {"bound": dict(keep[1]), "samples": samples})
    figures = np.array([known[row.tobytes()] for row in wanted])
    return wanted, figures[:, 0], figures[:, 1]
