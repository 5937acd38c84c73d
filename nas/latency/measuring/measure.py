"""Measured latencies: of program files, and of a model's subnets."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil

from nas.errors import NasError
from nas.files import read_json
from nas.latency.measuring.load import OtherLoad
from nas.latency.measuring.pace import is_calm, is_uneven, pace_of, rescaling
from nas.latency.measuring.process import MeasuringProcess
from nas.latency.measuring.programs import is_registered, lower_output
from nas.latency.measuring.reference import References, open_references
from nas.latency.measuring.statistics import median_interval
from nas.latency.measuring.turns import Turn, TurnPlan, collect, has_undisturbed, kept
from nas.latency.runtimes import Runtime, get_runtime
from nas.latency.runtimes.onnx_files import data_file
from nas.latency.runtimes.sequence import SUFFIX, read_sequence
from nas.latency.workload import Workload
from nas.models import Model
from nas.progress import Steps
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn

Key = TypeVar("Key", bound=Hashable)
# Share of the free memory that programs open at the same time may fill: a runtime keeps weights two or three times.
_OPEN_SHARE = 1 / 6
_FEWEST = 3  # turns at the calm pace that are enough by themselves
_QUICK = 0.1  # the quantile of the runs that is trusted where all turns are disturbed
_RESTLESS = 0.05  # a calm median that is not known within this share is said to be of a restless machine


STATISTICS = ("median", "p90", "p99")
"""What a latency budget may be about: the median, or a quantile of the runs."""


@dataclass(frozen=True)
class Measurement:
    """The latency of one program, in milliseconds, at the calm pace of the machine.

    Every run is divided by the pace that the reference programs had beside it (see `nas.latency.measuring.pace`).
    Without reference programs the pace is 1 and the figures are raw.

    Attributes:
        median_ms: The calm median; `p90_ms` and `p99_ms` are calm quantiles of the runs.
        ci_ms: The 95% interval of the calm median.
        repeats: Timed runs in `bursts` undisturbed bursts.
        disturbed: Bursts that were thrown away and repeated.
        busy: The share of the machine's cores, 0 to 1, that other programs used meanwhile.
        raw_median_ms: The median of all runs as the clock had them; `raw_p90_ms` likewise.
        is_restless: Whether the machine left too few undisturbed moments to trust the figures.
        calm: The calm latencies of the reference programs, by name, that the calm figures are based on.
    """

    median_ms: float
    p90_ms: float
    ci_ms: tuple[float, float]
    repeats: int
    bursts: int
    disturbed: int
    busy: float = 0.0
    p99_ms: float = 0.0
    raw_median_ms: float = 0.0
    raw_p90_ms: float = 0.0
    is_restless: bool = False
    calm: Mapping[str, float] = field(default_factory=dict)

    @property
    def pace(self) -> float:
        """Raw over calm latency: 1.5 where everything takes half as long again as on the calm machine."""
        return self.raw_median_ms / self.median_ms if self.raw_median_ms else 1.0

    def of(self, statistic: str) -> float:
        """Return the calm latency by one of `STATISTICS`."""
        return {"median": self.median_ms, "p90": self.p90_ms, "p99": max(self.p99_ms, self.p90_ms)}[statistic]

    def rebased(self, calm: Mapping[str, float]) -> Measurement:
        """Return the measurement as it would be, had the calm latencies `calm` been known."""
        if calm == self.calm:
            return self
        factor = float(rescaling(np.array([self.median_ms]), self.calm, calm)[0])
        low, high = self.ci_ms
        return replace(
            self, median_ms=factor * self.median_ms, p90_ms=factor * self.p90_ms, p99_ms=factor * self.p99_ms,
            ci_ms=(factor * low, factor * high), calm=calm,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**asdict(self), "ci_ms": list(self.ci_ms), "pace": self.pace}

    @classmethod
    def from_turns(
        cls,
        turns: Sequence[Turn],
        calm: Mapping[str, float] | None = None,
        busy: float = 0.0,
        threads: int = 1,
    ) -> Measurement:
        """Summarise all turns of a program, given the calm latencies of the reference programs.

        On one thread, turns in which these have quite different paces tell nothing. With several threads that is
        usual: each program has moments of its own in which its threads wait for each other.
        """
        calm = calm or {}
        even = [turn for turn in turns if threads > 1 or not is_uneven(turn.reference_ms(), calm)]
        if not has_undisturbed(even):
            return cls._of_disturbed(turns, calm, busy)
        good = kept(even)
        # At the calm pace there is nothing to correct: a slow phase slows no two programs quite alike.
        at_calm_pace = [turn for turn in good if is_calm(turn.reference_ms(), calm)]
        good = at_calm_pace if len(at_calm_pace) >= _FEWEST else good
        paces = [pace_of(turn.burst.median_ms, turn.reference_ms(), calm) for turn in good]
        medians = [turn.burst.median_ms / pace for turn, pace in zip(good, paces, strict=True)]
        runs = [ms / pace for turn, pace in zip(good, paces, strict=True) for ms in turn.burst.ms]
        raw_median, raw_p90 = np.quantile([ms for turn in turns for ms in turn.burst.ms], (0.5, 0.9)).tolist()
        median = float(np.median(medians))
        low, high = median_interval(medians)
        p90, p99 = np.maximum(median, np.quantile(runs, (0.9, 0.99))).tolist()
        return cls(
            median_ms=median,
            p90_ms=p90,
            ci_ms=(low, high),
            repeats=len(runs),
            bursts=len(good),
            disturbed=len(turns) - len(good),
            busy=busy,
            p99_ms=p99,
            raw_median_ms=raw_median,
            raw_p90_ms=raw_p90,
            is_restless=high - low > 2 * _RESTLESS * median,
            calm=calm,
        )

    @classmethod
    def _of_disturbed(cls, turns: Sequence[Turn], calm: Mapping[str, float], busy: float) -> Measurement:
        """Make the best of turns of which hardly one was undisturbed: the quickest runs tell most.

        Threads that wait for a core make every median one of the other programs; what is left is the lower decile,
        over the pace of the reference program that is slowed least: rather too long than too short.
        """
        runs = [ms for turn in turns for ms in turn.burst.ms]
        quick = float(np.quantile(runs, _QUICK))
        beside = {name: [ms for turn in turns for ms in turn.before[name].ms] for name in turns[0].before}
        paces = [float(np.quantile(own, _QUICK)) / calm[name] for name, own in beside.items() if name in calm]
        pace = min(paces, default=1.0)
        low, p90, p99 = (float(np.quantile(runs, share)) / pace for share in (0.0, 0.9, 0.99))
        return cls(
            median_ms=quick / pace,
            p90_ms=p90,
            ci_ms=(low, float(np.median(runs)) / pace),
            repeats=len(runs),
            bursts=0,
            disturbed=len(turns),
            busy=busy,
            p99_ms=p99,
            raw_median_ms=float(np.median(runs)),
            raw_p90_ms=float(np.quantile(runs, 0.9)),
            is_restless=True,
            calm=calm,
        )


def measure(
    programs: Mapping[Key, Path],
    runtime: Runtime | str,
    workload: Workload,
    *,
    references: References | None = None,
    plan: TurnPlan | None = None,
    progress: Steps | None = None,
) -> dict[Key, Measurement]:
    """Measure program files in a process of their own, threads bound to cores, in turns with reference programs.

    Args:
        programs: The files by any key.
        runtime: What runs them, or its name.
        workload: Batch size, threads and number format.
        references: The reference programs of the family that is measured; without them figures are raw.
        plan: How sure the figures must be and what they may cost.
        progress: Hears how many programs of how many are settled.

    Raises:
        NasError: A program does not run.
    """
    plan = plan or TurnPlan()
    chosen = get_runtime(runtime) if isinstance(runtime, str) else runtime
    beside = {} if references is None else references.files
    result: dict[Key, Measurement] = {}
    calm: Mapping[str, float] = {}
    for group in _groups(programs):
        names = {str(number): key for number, key in enumerate(group)}
        done = len(result)

        def settled(count: int, done: int = done) -> None:
            if progress:
                progress(done + count, len(programs))

        with MeasuringProcess(chosen, workload) as process:
            for name, key in names.items():
                process.load(name, Path(programs[key]))
            for name, path in beside.items():
                process.load(name, path)
            load = OtherLoad(process.pid)
            known = {} if references is None else references.calm_ms()
            turns = collect(process, names, plan, tuple(beside), known, settled=settled)
            busy = load.share()
        calm = {} if references is None else references.record(turns.references)
        result |= {
            key: Measurement.from_turns(turns.programs[name], calm, busy, workload.threads)
            for name, key in names.items()
        }
    return {key: found.rebased(calm) for key, found in result.items()} if result else {}


def measure_memory(program: Path, runtime: Runtime, workload: Workload) -> int | None:
    """Return the most memory, in bytes, of a process that runs a program file once, interpreter and runtime included.

    None where the system does not tell. Raises `NasError` when the program does not run.
    """
    with MeasuringProcess(runtime, workload) as process:
        process.load("", program)
        process.burst("", 0, 1)
        return process.peak_memory()


def program_bytes(path: Path) -> int:
    """Return the bytes on disk of a program file, or of all the files of a sequence, each once."""
    return _size(path)


def _groups(programs: Mapping[Key, Path]) -> Iterator[list[Key]]:
    """Split the programs so that a group fits into memory."""
    group: list[Key] = []
    total, most = 0, psutil.virtual_memory().available * _OPEN_SHARE
    for key, path in programs.items():
        size = _size(Path(path))
        if group and total + size > most:
            yield group
            group, total = [], 0
        group.append(key)
        total += size
    if group:
        yield group


def _size(path: Path) -> int:
    try:
        files = {file for file, _, _ in read_sequence(path)} if path.suffix == SUFFIX else {path}
        return sum(map(_bytes, files))
    except OSError as error:
        raise NasError(f"{path} cannot be measured: {error.strerror or error}") from error


def _bytes(file: Path) -> int:
    weights = file.with_suffix(".safetensors")
    if file.suffix == ".json" and not weights.exists():
        return int(read_json(file)["bytes"])
    return sum(part.stat().st_size for part in (file, weights, data_file(file)) if part.exists())


def lower_subnet(model: Model, subnet: Subnet, runtime: Runtime, path: Path) -> Path:
    """Write what an output of a subnet takes; the weights decide no latency, so nothing is calibrated."""
    return lower_output(unweighted(model, subnet, runtime), model.family, subnet, runtime, path)


def unweighted(model: Model, subnet: Subnet, runtime: Runtime) -> nn.Module:
    """Return a static network to be measured, whose weights are of no matter: not to be changed, maybe of none."""
    if runtime.builds and is_registered(model.family):
        return model.supernet.skeleton(subnet)
    return model.supernet.extract(subnet)


def measure_subnets(
    model: Model,
    subnets: Sequence[Subnet],
    runtime: Runtime | str,
    workload: Workload,
    progress: Steps | None = None,
    *,
    plan: TurnPlan | None = None,
) -> list[Measurement]:
    """Measure subnets of a model as extracted modules; the result has the order of `subnets`."""
    chosen = get_runtime(runtime) if isinstance(runtime, str) else runtime
    chosen.require(workload)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
        programs: dict[Subnet, Path] = {}
        for subnet in dict.fromkeys(subnets):
            programs[subnet] = lower_subnet(model, subnet, chosen, Path(folder, str(len(programs))))
        references = open_references(model.family, chosen, workload)
        measured = measure(programs, chosen, workload, references=references, plan=plan, progress=progress)
    return [measured[subnet] for subnet in subnets]
