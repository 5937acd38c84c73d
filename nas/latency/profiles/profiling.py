"""How a profile is made: samples measured in batches, doubtful ones again, the predictor judged on held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.errors import NasError
from nas.files import read_json, write_json
from nas.latency.measuring import measure
from nas.latency.measuring.measure import TurnPlan
from nas.latency.measuring.pace import rescaling
from nas.latency.measuring.reference import calm_latencies
from nas.latency.profiles.passes import ProgramProfiler
from nas.latency.profiles.profile import (
    GOOD_PCT,
    SAMPLES,
    Profile,
    bound_to,
    latency_features,
    profile_path,
    read_samples,
    samples_to_dict,
)
from nas.latency.profiles.sampling import choose_samples, pool_of, spread
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.models import Model
from nas.predict.surrogate import Surrogate, errors
from nas.progress import Steps
from nas.space import SearchSpace

_BATCH = 20  # subnets measured together; after each batch the profile so far is on disk
_HELD_OUT = 5  # every fifth sample judges the predictor
_WHOLE = 10  # outputs of several programs that are measured whole, the smallest and the largest among them
_PLAN = TurnPlan(target=0.02, min_bursts=5, max_bursts=10, burst_ms=4.0)
_AGAIN = TurnPlan(target=0.01, min_bursts=8, max_bursts=24, burst_ms=6.0)
_AGAIN_SHARE = 4  # at most a fourth of the samples is measured again
_LOOK_S = 1.0  # to see whether the machine is calm
_CALM_PACE = 1.1
_FAR = 4.0  # times the median residual: what is farther from its prediction than this is measured again
_FAR_PCT = 6.0  # ... unless it is within so many percent


class Sample(NamedTuple):
    """What was measured of one subnet: calm figures in ms."""

    median_ms: float
    p90_ms: float
    p99_ms: float
    is_restless: bool = False


def build_profile(
    model: Model,
    runtime: Runtime,
    workload: Workload,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Steps | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Measure `samples` subnets and fit the predictor.

    What was measured is kept beside the profile's place while this runs: interrupted, it goes on from there. Samples
    of a disturbed moment, and those far from what the others predict of them, are measured again. A profile that is
    not good (`Profile.is_good`) is made once more, and the better one returned as what it is; `report` hears of it.

    Raises:
        NasError: Fewer than 20 samples are asked for, or a subnet does not run.
    """
    if samples < 20:
        raise NasError(f"{samples} samples are asked for; a profile needs at least 20")
    build = _build_sum if [*model.family.programs] != [""] else _build
    first = build(model, runtime, workload, samples, seed, progress)
    if first.is_good:
        return first
    report(
        f"the profile errs by {first.error['median_pct']:.0f}% (median of held-out subnets), over {GOOD_PCT:.0f}%: "
        "profiling once more"
    )
    second = build(model, runtime, workload, samples, seed, progress)
    return _better(first, second)


def better_profile(
    known: Profile,
    model: Model,
    runtime: Runtime,
    workload: Workload,
    progress: Steps | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Return a new profile in the place of one that is not good, if the machine is calm now and it turns out better."""
    ends = [model.space.smallest(), model.space.largest()]
    plan = TurnPlan(budget_s=_LOOK_S, patience_s=0.0)
    looked = measure.measure_subnets(model, ends, runtime, workload, plan=plan)
    if any(found.is_restless or found.pace > _CALM_PACE for found in looked):
        return known
    report("the machine is calmer than when it was profiled: profiling it again")
    build = _build_sum if [*model.family.programs] != [""] else _build
    return _better(known, build(model, runtime, workload, SAMPLES, 0, progress))


def _better(first: Profile, second: Profile) -> Profile:
    return min(first, second, key=lambda profile: (not profile.is_good, profile.error["median_pct"]))


def _build(
    model: Model, runtime: Runtime, workload: Workload, samples: int, seed: int, progress: Steps | None
) -> Profile:
    measuring = _Measuring(model, runtime, workload, profile_path(model, runtime, workload), progress)
    wanted = choose_samples(model, samples, seed)
    found = measuring.run(wanted, len(wanted))
    base = latency_features(model)(wanted)
    doubtful = _doubtful(model.space, wanted, base, found, seed)
    if len(doubtful):
        again = measuring.again(wanted[doubtful])
        found = measuring.run(wanted, len(wanted))  # at the calm pace that is known now
        for row, sample in zip(doubtful.tolist(), again, strict=True):
            found[row] = sample
    profile = _fitted(model, bound_to(model, runtime, workload), wanted, found, base, seed)
    profile.calm = calm_latencies(model.family, runtime, workload)
    measuring.forget()
    return profile


def _fitted(
    model: Model,
    bound: Mapping[str, Any],
    codes: np.ndarray,
    found: Sequence[Sample],
    base: np.ndarray,
    seed: int,
) -> Profile:
    median_ms = np.array([sample.median_ms for sample in found])
    held = np.arange(len(codes)) % _HELD_OUT == _HELD_OUT - 1
    judged = Surrogate.fit(model.space, codes[~held], median_ms[~held], base=base[~held], seed=seed)
    error = errors(judged.predict(codes[held], base=base[held]), median_ms[held])
    predictor = Surrogate.fit(model.space, codes, median_ms, base=base, kinds=(judged.kind,), seed=seed)
    return _profile(model, bound, codes, found, predictor, error)


def _profile(
    model: Model,
    bound: Mapping[str, Any],
    codes: np.ndarray,
    found: Sequence[Sample],
    predictor: Any,
    error: Mapping[str, float],
) -> Profile:
    figures = np.array([sample[:3] for sample in found])
    return Profile(
        bound,
        codes,
        *figures.T,
        predictor=predictor,
        error=error,
        features=latency_features(model),
        restless=sum(sample.is_restless for sample in found),
        made=date.today().isoformat(),
    )


def _doubtful(
    space: SearchSpace, codes: np.ndarray, base: np.ndarray, found: Sequence[Sample], seed: int
) -> np.ndarray:
    """Return positions of samples to measure again: disturbed ones, then those far from what the others predict."""
    median_ms = np.array([sample.median_ms for sample in found])
    predicted = np.empty(len(codes))
    for fold in range(_HELD_OUT):
        held = np.arange(len(codes)) % _HELD_OUT == fold
        fitted = Surrogate.fit(
            space, codes[~held], median_ms[~held], base=base[~held], kinds=("ridge",), seed=seed
        )
        predicted[held] = fitted.predict(codes[held], base=base[held])
    residual = np.abs(np.log(np.maximum(predicted, 1e-9) / median_ms))
    limit = max(_FAR * float(np.median(residual)), _FAR_PCT / 100)
    urgency = np.where([sample.is_restless for sample in found], 100.0, 0.0) + residual
    chosen = np.flatnonzero(urgency > limit)
    return chosen[np.argsort(-urgency[chosen], kind="stable")][: max(1, len(codes) // _AGAIN_SHARE)]


def _build_sum(
    model: Model, runtime: Runtime, workload: Workload, samples: int, seed: int, progress: Steps | None
) -> Profile:
    """Measure the programs one by one, then a few whole outputs that judge their sum."""
    rng = np.random.default_rng(seed)
    pool, _ = pool_of(model, samples, rng)

    def choose(codes: np.ndarray, log_macs: np.ndarray, count: int) -> np.ndarray:
        first_and_last = np.array([log_macs.argmin(), log_macs.argmax()])
        return np.union1d(first_and_last, spread(log_macs, count - 2, rng))

    place = profile_path(model, runtime, workload)
    bound = bound_to(model, runtime, workload)
    profiler = ProgramProfiler(model, runtime, workload, place.with_suffix(".partial"), bound)
    wanted = profiler.plan(samples, pool, choose)
    programs = sum(map(len, wanted.values()))

    def report(done: int) -> None:
        if progress:
            progress(done, programs + _WHOLE)

    predictor = profiler.run(wanted, report)
    whole = place.with_suffix(".whole.json")
    measuring = _Measuring(
        model, runtime, workload, whole, None if progress is None else lambda done, _: report(programs + done)
    )
    codes = choose_samples(model, _WHOLE, seed)
    found = measuring.run(codes, _WHOLE)
    median_ms = np.array([sample.median_ms for sample in found])
    predictor, judged = predictor.fitted(codes, median_ms)
    error = errors(judged, median_ms)
    profile = _profile(model, bound, codes, found, predictor, error)
    profile.calm = calm_latencies(model.family, runtime, workload)
    profiler.forget()
    measuring.forget()
    return profile


class _Measuring:
    """Measures subnets batch by batch; what is known stands on disk beside the profile's place."""

    def __init__(
        self, model: Model, runtime: Runtime, workload: Workload, place: Path, progress: Steps | None
    ) -> None:
        self._model, self._runtime, self._workload = model, runtime, workload
        self._partial = place.with_suffix(".partial")
        self._bound = bound_to(model, runtime, workload)
        self._progress = progress
        self._calm: Mapping[str, float] = calm_latencies(model.family, runtime, workload)
        self._known = self._read()

    def run(self, wanted: np.ndarray, total: int) -> list[Sample]:
        """Return what was measured of the codes `wanted`, measuring what is not known yet."""
        while missing := [row for row in wanted if row.tobytes() not in self._known][:_BATCH]:
            done = sum(row.tobytes() in self._known for row in wanted)

            def advance(count: int, _total: int, done: int = done) -> None:
                if self._progress:
                    self._progress(done + count, total)

            for row, sample in zip(missing, self._measure(missing, _PLAN, advance), strict=True):
                self._known[row.tobytes()] = sample
            self._write([row for row in wanted if row.tobytes() in self._known])
        return [self._known[row.tobytes()] for row in wanted]

    def again(self, codes: np.ndarray) -> list[Sample]:
        """Measure codes anew, longer."""
        return self._measure(list(codes), _AGAIN, lambda done, total: None)

    def forget(self) -> None:
        """Remove what was kept in case of an interruption."""
        self._partial.unlink(missing_ok=True)

    def _measure(self, rows: Sequence[np.ndarray], plan: TurnPlan, advance: Steps) -> list[Sample]:
        subnets = [self._model.space.from_codes(row) for row in rows]
        measured = measure.measure_subnets(
            self._model, subnets, self._runtime, self._workload, advance, plan=plan
        )
        self._rebase()
        return [Sample(m.median_ms, m.p90_ms, m.of("p99"), m.is_restless) for m in measured]

    def _rebase(self) -> None:
        """Bring what was measured before to the calm pace that is known now: the machine may have become calmer."""
        now = calm_latencies(self._model.family, self._runtime, self._workload)
        if self._calm != now:
            for row, sample in self._known.items():
                factor = float(rescaling(np.array([sample.median_ms]), self._calm, now)[0])
                median_ms, p90_ms, p99_ms = (factor * ms for ms in sample[:3])
                self._known[row] = Sample(median_ms, p90_ms, p99_ms, sample.is_restless)
        self._calm = now

    def _read(self) -> dict[bytes, Sample]:
        if not self._partial.exists():
            return {}
        try:
            value = read_json(self._partial)
            if value["bound"] != self._bound:
                return {}
            codes, *figures = read_samples(value["samples"], self._model.space)
            restless = [bool(flag) for flag in value["restless"]]
            then = {name: float(ms) for name, ms in value["calm"].items()}
        except (NasError, KeyError, TypeError, ValueError):
            return {}
        factor = rescaling(figures[0], then, self._calm)
        rows = (np.column_stack(figures) * factor[:, None]).tolist()
        return {
            code.tobytes(): Sample(median_ms, p90_ms, p99_ms, flag)
            for code, (median_ms, p90_ms, p99_ms), flag in zip(codes, rows, restless, strict=True)
        }

    def _write(self, rows: Sequence[np.ndarray]) -> None:
        known = [self._known[row.tobytes()] for row in rows]
        figures = np.array([sample[:3] for sample in known])
        write_json(
            self._partial,
            {
                "bound": dict(self._bound),
                "samples": samples_to_dict(np.stack(rows), *figures.T),
                "restless": [sample.is_restless for sample in known],
                "calm": dict(self._calm),
            },
        )
