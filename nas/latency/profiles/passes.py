"""Predicted latency of outputs that take several programs: what each run of a program takes, added up.

Each program is measured by itself, for every batch it is run on, over the choices that decide it: few samples do,
for what only multiplies runs (steps, guidance, caching) needs none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nas import elastic
from nas.errors import NasError
from nas.files import read_json, write_json
from nas.latency.measuring.measure import TurnPlan, measure, unweighted
from nas.latency.measuring.pace import rescaling
from nas.latency.measuring.programs import lower_program, write_sequence
from nas.latency.measuring.reference import calm_latencies, open_references
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.models import Model
from nas.predict.surrogate import Surrogate
from nas.space import SearchSpace, Subnet

FEWEST = 20  # samples of a program that no table can hold
_BATCH = 20  # programs measured together; after each batch what was measured is on disk

Kind = tuple[str, int]  # a program and the batch it is run on
Chooser = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # pool, its log MACs, how many -> positions


@dataclass(frozen=True)
class PassTable:
    """The measured latency of every configuration of a program that has few."""

    codes: np.ndarray
    ms: np.ndarray

    def predict(self, codes: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Return the latency (n,) of the configurations `codes`, each of which was measured."""
        return self.ms[(codes[:, None, :] == self.codes[None]).all(axis=2).argmax(axis=1)]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"kind": "table", "codes": self.codes.tolist(), "ms": self.ms.tolist()}


class Programs:
    """The programs of a model: their configurations, their MACs, and how often an output takes each."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._counted: dict[bytes, tuple[list[int], list[int]]] = {}

    @property
    def _family(self) -> elastic.Family:
        return self._model.family

    @property
    def _space(self) -> SearchSpace:
        return self._model.space

    @cached_property
    def kinds(self) -> list[Kind]:
        """Every program with every batch that some subnet runs it on."""
        choices = [self._space[name].choices for name in self._family.pass_dimensions]
        largest = self._space.largest()
        found: dict[Kind, None] = {}
        for own in product(*choices):
            chosen = dict(zip(self._family.pass_dimensions, own, strict=True))
            passes = self._family.passes(self._space.subnet({**largest, **chosen}))
            found |= dict.fromkeys((step.program, step.batch) for step in passes)
        return sorted(found)

    def batches(self, program: str) -> list[int]:
        """Return the batches that a program is run on."""
        return [batch for name, batch in self.kinds if name == program]

    def times(self, codes: np.ndarray) -> np.ndarray:
        """Return how often each of `kinds` is run for an output: (n, kinds)."""
        return self._count(codes)[:, 0]

    def starts(self, codes: np.ndarray) -> np.ndarray:
        """Return how often each of `kinds` is run right after another one: (n, kinds)."""
        return self._count(codes)[:, 1]

    def _count(self, codes: np.ndarray) -> np.ndarray:
        """Return times and starts: (n, 2, kinds)."""
        columns = [self._space.names.index(name) for name in self._family.pass_dimensions]
        found = np.empty((len(codes), 2, len(self.kinds)))
        for row, key in enumerate(np.ascontiguousarray(codes[:, columns])):
            if (known := key.tobytes()) not in self._counted:
                passes = self._family.passes(self._space.from_codes(codes[row]))
                self._counted[known] = self._times_and_starts(passes)
            found[row] = self._counted[known]
        return found

    def _times_and_starts(self, passes: Sequence[elastic.Pass]) -> tuple[list[int], list[int]]:
        times, starts, last = dict.fromkeys(self.kinds, 0), dict.fromkeys(self.kinds, 0), None
        for step in passes:
            kind = step.program, step.batch
            times[kind] += step.times
            starts[kind] += kind != last
            last = kind
        return [*times.values()], [*starts.values()]

    def configurations(self, program: str, codes: np.ndarray) -> np.ndarray:
        """Return `codes` with the first choice in all that does not decide the program: equal rows, equal programs."""
        kept = np.zeros(len(self._space.dimensions), dtype=bool)
        kept[[self._space.names.index(name) for name in self._decisive(program)]] = True
        return self._space.canonical_codes(np.where(kept, np.maximum(codes, 0), 0))

    def _decisive(self, program: str) -> list[str]:
        """Return the dimensions of a program, and those that decide whether these are active."""
        found: list[str] = []
        names = [*self._family.programs[program].dimensions]
        while names:
            name = names.pop()
            found.append(name)
            if (condition := self._space[name].active_if) is not None:
                names.append(condition[0])
        return found

    def every(self, program: str, most: int) -> np.ndarray | None:
        """Return all configurations of a program, or None where there are more than `most` combinations of choices."""
        names = list(dict.fromkeys(self._decisive(program)))
        sizes = [len(self._space[name].choices) for name in names]
        if np.prod([float(size) for size in sizes]) > most:
            return None
        codes = np.zeros((int(np.prod(sizes)), len(self._space.dimensions)), dtype=np.int16)
        for row, own in enumerate(product(*map(range, sizes))):
            codes[row, [self._space.names.index(name) for name in names]] = own
        return np.unique(self.configurations(program, codes), axis=0)

    def features(self, program: str, codes: np.ndarray) -> np.ndarray:
        """Return what a program's predictor knows, (n, parts + 3)."""
        index = [*self._family.programs].index(program)
        return mac_features(self._model.supernet.program_macs(codes)[:, :, index])


def mac_features(macs: np.ndarray) -> np.ndarray:
    """Return (n, parts + 3): the MACs of every part, of all, their logarithm, the number of parts."""
    macs = macs.astype(np.float64)
    total = macs.sum(1)
    return np.column_stack([macs, total, np.log(np.maximum(total, 1)), (macs > 0).sum(1)])


class SumOfPasses:
    """Predicts an output's latency as the sum of its runs; a predictor as `Surrogate` is one.

    A program is measured run after run, with warm caches. Right after another program it takes `cold` times its
    latency more, which is learnt from outputs that were measured whole.
    """

    kind = "sum of programs"

    def __init__(
        self, programs: Programs, parts: Mapping[Kind, Surrogate | PassTable], cold: float = 0.0
    ) -> None:
        self._programs = programs
        self._parts = dict(parts)
        self._cold = cold

    def predict(self, codes: np.ndarray, base: np.ndarray | None = None) -> np.ndarray:
        """Return predicted latencies (n,) in ms."""
        warm, starting = self._sums(codes)
        return warm + self._cold * starting

    def _sums(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what all runs take with warm caches, and what those take that come right after another program."""
        warm, starting = np.zeros(len(codes)), np.zeros(len(codes))
        times, starts = self._programs.times(codes).T, self._programs.starts(codes).T
        for kind, own, first in zip(self._programs.kinds, times, starts, strict=True):
            rows = np.flatnonzero(own)
            if len(rows):
                ms = self.of_program(kind, codes[rows])
                warm[rows] += own[rows] * ms
                starting[rows] += first[rows] * ms
        return warm, starting

    def fitted(self, codes: np.ndarray, ms: np.ndarray) -> tuple[SumOfPasses, np.ndarray]:
        """Learn what cold caches cost from outputs (n, dimensions) that took `ms` (n,) as a whole.

        Returns the predictor, and what it predicts of each output when it has learnt from all the others (n,).
        """
        warm, starting = self._sums(codes)
        others = ~np.eye(len(codes), dtype=bool)
        left_out = [_cold(warm[rows], starting[rows], ms[rows]) for rows in others]
        predictor = SumOfPasses(self._programs, self._parts, _cold(warm, starting, ms))
        return predictor, warm + np.array(left_out) * starting

    def of_program(self, kind: Kind, codes: np.ndarray) -> np.ndarray:
        """Return the predicted latency (n,) of one run of a program."""
        own = self._programs.configurations(kind[0], codes)
        distinct, places = np.unique(own, axis=0, return_inverse=True)
        ms = self._parts[kind].predict(distinct, base=self._programs.features(kind[0], distinct))
        return ms[places.reshape(-1)]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        parts = [
            {"program": name, "batch": batch, "predictor": part.to_dict()}
            for (name, batch), part in self._parts.items()
        ]
        return {"kind": self.kind, "programs": parts, "cold": self._cold}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], model: Model) -> SumOfPasses:
        """Read the JSON object; a damaged one raises `ValueError`, `KeyError`, `TypeError` or `NasError`."""
        programs, parts = Programs(model), {}
        for entry in value["programs"]:
            own = entry["predictor"]
            if own["kind"] == "table":
                codes = model.space.canonical_codes(np.array(own["codes"], dtype=np.int16))
                part = PassTable(codes, np.array(own["ms"], dtype=np.float64))
            else:
                part = Surrogate.from_dict(own, model.space)
            parts[entry["program"], int(entry["batch"])] = part
        if sorted(parts) != programs.kinds:
            raise ValueError("its programs are not those of the model")
        return cls(programs, parts, float(value["cold"]))


def _cold(warm: np.ndarray, starting: np.ndarray, ms: np.ndarray) -> float:
    """Return the share of cold runs' latency that explains what is missing, by least squares of relative errors."""
    x, y = starting / ms, 1.0 - warm / ms
    return float(np.clip(x @ y / max(x @ x, 1e-12), 0.0, 1.0))


class ProgramProfiler:
    """Measures the programs of a model and fits a predictor to each; interrupted, it goes on from `partial`."""

    def __init__(
        self, model: Model, runtime: Runtime, workload: Workload, partial: Path, bound: Mapping[str, Any]
    ) -> None:
        self._model, self._runtime, self._workload = model, runtime, workload
        self._partial, self._bound = partial, bound
        self._programs = Programs(model)
        self._calm = calm_latencies(model.family, runtime, workload)

    def plan(self, samples: int, pool: np.ndarray, choose: Chooser) -> dict[str, np.ndarray]:
        """Return which configurations of each program are measured: all of them, or a share of `samples`.

        `pool` are subnets to choose from; `choose` picks configurations that are spread over log MACs.
        """
        names = list(dict.fromkeys(name for name, _ in self._programs.kinds))
        widths = {name: len(self._model.family.programs[name].dimensions) for name in names}
        wanted = {}
        for name in names:
            count = max(FEWEST, round(samples * widths[name] / max(1, *widths.values())))
            codes = self._programs.every(name, count)
            if codes is None:
                codes = np.unique(self._programs.configurations(name, pool), axis=0)
                log_macs = self._programs.features(name, codes)[:, -2]
                codes = codes[choose(codes, log_macs, count)]
            wanted[name] = codes
        return wanted

    def run(self, wanted: Mapping[str, np.ndarray], report: Callable[[int], None]) -> SumOfPasses:
        """Measure the `wanted` configurations of each program and fit; `report` hears how many are measured."""
        known = self._read()
        for name, codes in wanted.items():
            own = known.setdefault(name, {})
            while missing := [row for row in codes if row.tobytes() not in own][:_BATCH]:
                measured = self._measure(name, missing)
                self._rebase(known)
                own |= measured
                self._write(known)
                report(sum(row.tobytes() in known.get(n, {}) for n, c in wanted.items() for row in c))
        parts = {kind: self._fit(kind, wanted[kind[0]], known[kind[0]]) for kind in self._programs.kinds}
        return SumOfPasses(self._programs, parts)

    def _rebase(self, known: Mapping[str, dict[bytes, list[float]]]) -> None:
        """Bring what was measured before to the calm pace that is known now: the machine may have become calmer."""
        now = calm_latencies(self._model.family, self._runtime, self._workload)
        if self._calm != now:
            for own in known.values():
                for row, ms in own.items():
                    own[row] = (np.array(ms) * rescaling(np.array(ms), self._calm, now)).tolist()
        self._calm = now

    def _fit(
        self, kind: Kind, codes: np.ndarray, known: Mapping[bytes, list[float]]
    ) -> Surrogate | PassTable:
        column = self._programs.batches(kind[0]).index(kind[1])
        ms = np.array([known[row.tobytes()][column] for row in codes])
        every = self._programs.every(kind[0], len(codes))
        if every is not None and len(every) == len(codes):
            return PassTable(codes, ms)
        return Surrogate.fit(self._model.space, codes, ms, base=self._programs.features(kind[0], codes))

    def _measure(self, name: str, rows: Sequence[np.ndarray]) -> dict[bytes, list[float]]:
        """Measure one program of the subnets `rows`, for each batch it is run on; nothing is calibrated."""
        plan = TurnPlan(target=0.02, min_bursts=5, max_bursts=10, burst_ms=4.0)
        references = open_references(self._model.family, self._runtime, self._workload)
        batches = self._programs.batches(name)
        with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
            files: dict[tuple[int, int], Path] = {}
            for index, row in enumerate(rows):
                subnet = self._model.space.from_codes(row)
                program = self._lower(lower_program, name, subnet, Path(scratch))
                for batch in batches:
                    path = Path(scratch, f"{index}-{batch}")
                    files[index, batch] = write_sequence(
                        path, [elastic.Pass(name, 1, batch)], {name: program}
                    )
            measured = measure(files, self._runtime, self._workload, references=references, plan=plan)
            if restless := {key: file for key, file in files.items() if measured[key].is_restless}:
                longer = replace(plan, max_bursts=2 * plan.max_bursts)
                measured |= measure(
                    restless, self._runtime, self._workload, references=references, plan=longer
                )
        return {
            row.tobytes(): [measured[index, batch].median_ms for batch in batches]
            for index, row in enumerate(rows)
        }

    def _lower(self, lower: Callable[..., Path], name: str, subnet: Subnet, folder: Path) -> Path:
        network = unweighted(self._model, subnet, self._runtime)
        return lower(network, self._model.family, name, subnet, self._runtime, folder)

    def forget(self) -> None:
        """Remove what was kept in case of an interruption."""
        self._partial.unlink(missing_ok=True)

    # --- what was measured already ----------------------------------------------------------------------------------

    def _read(self) -> dict[str, dict[bytes, list[float]]]:
        try:
            value = read_json(self._partial)
            if value["bound"] != self._bound:
                return {}
            known = {
                name: {
                    np.array(row, dtype=np.int16).tobytes(): [float(one) for one in ms]
                    for row, ms in zip(own["codes"], own["ms"], strict=True)
                }
                for name, own in value["programs"].items()
            }
            then = {name: float(ms) for name, ms in value["calm"].items()}
        except (NasError, KeyError, TypeError, ValueError, AttributeError):
            return {}
        self._calm = then
        self._rebase(known)
        return known

    def _write(self, known: Mapping[str, Mapping[bytes, list[float]]]) -> None:
        programs = {
            name: {
                "codes": [np.frombuffer(row, dtype=np.int16).tolist() for row in own],
                "ms": [*own.values()],
            }
            for name, own in known.items()
        }
        write_json(
            self._partial, {"bound": dict(self._bound), "programs": programs, "calm": dict(self._calm)}
        )
