"""Measured latencies: of program files, and of a model's subnets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil

from nas._errors import NasError
from nas._files import read_json
from nas.latency._load import OtherLoad
from nas.latency._process import Burst, MeasuringProcess
from nas.latency._rounds import Plan, collect, kept
from nas.latency._statistics import median_interval
from nas.latency.programs import is_registered, lower_output
from nas.latency.runtimes import Runtime, get_runtime
from nas.latency.runtimes._onnx_files import data_file
from nas.latency.runtimes._sequence import SUFFIX, read_sequence
from nas.latency.workload import Workload

if TYPE_CHECKING:
    from torch import nn

    from nas.families import Model
    from nas.space import Subnet

Key = TypeVar("Key", bound=Hashable)
# Share of the free memory that programs open at the same time may fill: a runtime keeps weights two or three times.
_OPEN_SHARE = 1 / 6


@dataclass(frozen=True)
class Measurement:
    """The latency of one program, in milliseconds.

    `ci_ms` is the 95% interval of the median; `repeats` counts timed runs in `bursts` undisturbed bursts, `disturbed`
    the bursts that were thrown away and repeated. `busy` is the share of the machine's cores that other programs used
    meanwhile: far above zero, the latency is likely too high.
    """

    median_ms: float
    p90_ms: float
    ci_ms: tuple[float, float]
    repeats: int
    bursts: int
    disturbed: int
    busy: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {**asdict(self), "ci_ms": list(self.ci_ms)}

    @classmethod
    def from_bursts(cls, bursts: Sequence[Burst], busy: float = 0.0) -> Measurement:
        """Summarise all bursts of a program."""
        good = kept(list(bursts))
        medians = [burst.median_ms for burst in good]
        runs = [ms for burst in good for ms in burst.ms]
        median = float(np.median(medians))
        return cls(
            median_ms=median,
            p90_ms=max(median, float(np.quantile(runs, 0.9))),
            ci_ms=median_interval(medians),
            repeats=len(runs),
            bursts=len(good),
            disturbed=len(bursts) - len(good),
            busy=busy,
        )


def measure(
    programs: Mapping[Key, Path],
    runtime: Runtime | str,
    workload: Workload,
    *,
    plan: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Key, Measurement]:
    """Measure program files in a process of their own, threads bound to cores, interleaved.

    `progress` hears how many programs of how many are settled. Raises `NasError` when a program does not run.
    """
    plan = plan or Plan()
    chosen = get_runtime(runtime) if isinstance(runtime, str) else runtime
    result: dict[Key, Measurement] = {}
    for group in _groups(programs):
        names = {str(number): key for number, key in enumerate(group)}
        done = len(result)

        def settled(count: int, done: int = done) -> None:
            if progress:
                progress(done + count, len(programs))

        with MeasuringProcess(chosen, workload) as process:
            for name, key in names.items():
                process.load(name, Path(programs[key]))
            load = OtherLoad(process.pid)
            bursts = collect(process, names, plan, settled=settled)
            busy = load.share()
        result |= {key: Measurement.from_bursts(bursts[name], busy) for name, key in names.items()}
    return result


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
    progress: Callable[[int, int], None] | None = None,
    *,
    plan: Plan | None = None,
) -> list[Measurement]:
    """Measure subnets of a model as extracted modules; the result has the order of `subnets`."""
    chosen = get_runtime(runtime) if isinstance(runtime, str) else runtime
    chosen.require(workload)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as folder:
        programs: dict[Subnet, Path] = {}
        for subnet in dict.fromkeys(subnets):
            programs[subnet] = lower_subnet(model, subnet, chosen, Path(folder, str(len(programs))))
        measured = measure(programs, chosen, workload, plan=plan, progress=progress)
    return [measured[subnet] for subnet in subnets]
