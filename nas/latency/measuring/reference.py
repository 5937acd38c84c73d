"""Reference programs of a family: their files and their calm latencies, kept in the user's cache folder.

They are the smallest and the largest subnet with weights of no matter (weights decide no latency). Where an output
takes several programs, the one that is run most often stands for it, run once. The calm latencies belong to the
machine, the runtime's version and the workload, and serve everything that is measured of the family: a profile, the
finalists of a search, exported files, comparisons.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import elastic
from nas.errors import NasError
from nas.files import cache_folder, new_folder, read_json, write_json
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.pace import CalmLatency, session_ms
from nas.latency.measuring.process import Burst
from nas.latency.measuring.programs import is_registered, lower_output, lower_program, write_sequence
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn

FORMAT = "anyfit-reference"
FORMAT_VERSION = 1
SMALLEST, LARGEST = "smallest", "largest"
_KEPT_BYTES = 64e6  # program files that are larger are made again each time
_LARGE_BYTES = 256e6  # a largest subnet of more weights takes too long to be run beside others
_FILES = "files.json"


class References:
    """The reference programs of a family under one runtime and workload.

    Attributes:
        files: The program files by name: "smallest" and, unless it is huge, "largest".
    """

    def __init__(self, files: Mapping[str, Path], store: Path, folder: object = None) -> None:
        self.files = dict(files)
        self._store = store
        self._folder = folder  # holds files that are not cached
        self.calm = _read(store)

    def record(self, bursts: Mapping[str, list[Burst]]) -> dict[str, float]:
        """Learn from a session, and return the calm latency of every reference program in ms.

        What a session shows is written at once; two processes that write at the same time lose one session.
        """
        self.calm = _read(self._store)
        today, before = date.today().isoformat(), dict(self.calm)
        found: dict[str, float] = {}
        for name, own in bursts.items():
            seen = session_ms(own)
            known = self.calm.get(name)
            if seen is not None:
                self.calm[name] = CalmLatency(seen, today) if known is None else known.merged(seen, today)
            if name in self.calm:
                found[name] = self.calm[name].ms
        if self.calm != before:
            write_json(self._store, _to_dict(self.calm))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the calm latencies with the day when each was seen, as JSON."""
        return _to_dict(self.calm)["calm"]

    def calm_ms(self) -> dict[str, float]:
        """Return the calm latencies that are known so far, by name, in ms."""
        return {name: known.ms for name, known in self.calm.items()}


def open_references(family: elastic.Family, runtime: Runtime, workload: Workload) -> References:
    """Return the reference programs of a family, lowered once for a runtime and kept where they are small."""
    return open_reference_programs(
        _what(family), lambda folder: _lower(family, runtime, folder), runtime, workload
    )


def open_reference_programs(
    what: Sequence[Any], write: Callable[[Path], Mapping[str, str]], runtime: Runtime, workload: Workload
) -> References:
    """Return reference programs of any kind, written once for a runtime and kept where they are small.

    Args:
        what: Everything that decides the files but the runtime, as JSON takes it.
        write: Writes them into a folder and returns the files' names by those of the programs.
        runtime: What runs them.
        workload: Batch size, threads and number format.
    """
    home, store = _home(what, runtime), _store(what, runtime, workload)
    ready = home / "programs"
    if ready.is_dir():
        return References(_files(ready), store)
    scratch = tempfile.TemporaryDirectory(prefix="anyfit-reference-")
    folder = Path(scratch.name)
    write_json(folder / _FILES, dict(write(folder)))
    if sum(path.stat().st_size for path in folder.iterdir()) > _KEPT_BYTES:
        return References(_files(folder), store, scratch)
    _keep(folder, ready)
    scratch.cleanup()
    return References(_files(ready), store)


def calm_latencies(family: elastic.Family, runtime: Runtime, workload: Workload) -> dict[str, float]:
    """Return the calm latencies of a family's reference programs that this machine knows, in ms; makes nothing."""
    return known_calm_latencies(_what(family), runtime, workload)


def known_calm_latencies(what: Sequence[Any], runtime: Runtime, workload: Workload) -> dict[str, float]:
    """Return the calm latencies, in ms, that are known of what `open_reference_programs` opens; makes nothing."""
    return {name: known.ms for name, known in _read(_store(what, runtime, workload)).items()}


def _what(family: elastic.Family) -> list[Any]:
    return [family.name, dict(family.options), family.space.digest]


def _home(what: Sequence[Any], runtime: Runtime) -> Path:
    """Return the folder of everything that decides the program files."""
    text = json.dumps([*what, runtime.name, runtime.version], sort_keys=True, default=str)
    return cache_folder() / "references" / hashlib.sha256(text.encode()).hexdigest()[:20]


def _store(what: Sequence[Any], runtime: Runtime, workload: Workload) -> Path:
    return _home(what, runtime) / f"{workload.key}-{machine_fingerprint(runtime.device).digest}.json"


def _files(folder: Path) -> dict[str, Path]:
    names = read_json(folder / _FILES)
    return {name: folder / file for name, file in names.items()}


def _keep(folder: Path, ready: Path) -> None:
    """Copy program files into the cache, all or nothing; another process may have done it meanwhile."""
    try:
        with new_folder(ready) as beside:
            for path in folder.iterdir():
                shutil.copyfile(path, beside / path.name)
    except NasError:
        if not ready.is_dir():
            raise


def _lower(family: elastic.Family, runtime: Runtime, folder: Path) -> dict[str, str]:
    """Write the program files into `folder` and return their names."""
    files: dict[str, str] = {}
    for name, subnet in ((SMALLEST, family.space.smallest()), (LARGEST, family.space.largest())):
        if not files or _bytes(family, subnet) <= _LARGE_BYTES:
            files[name] = _lower_one(family, subnet, runtime, folder, name).name
    return files


def _bytes(family: elastic.Family, subnet: Subnet) -> int:
    import torch

    with torch.device("meta"):
        network = family.build(subnet)
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def _lower_one(family: elastic.Family, subnet: Subnet, runtime: Runtime, folder: Path, name: str) -> Path:
    module = _module(family, subnet, runtime)
    if [*family.programs] == [""]:
        return lower_output(module, family, subnet, runtime, folder / name)
    step = max(family.passes(subnet), key=lambda step: step.times)
    program = lower_program(module, family, step.program, subnet, runtime, folder)
    return write_sequence(folder / name, [replace(step, times=1)], {step.program: program})


def _module(family: elastic.Family, subnet: Subnet, runtime: Runtime) -> nn.Module:
    """Return the network with first weights, or with none where the runtime builds it itself."""
    import torch

    device = "meta" if runtime.builds and is_registered(family) else "cpu"
    with torch.device(device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return family.build(subnet).eval()


def _to_dict(calm: Mapping[str, CalmLatency]) -> dict[str, Any]:
    own = {
        name: {"ms": known.ms, "seen": known.seen, "sessions": known.sessions} for name, known in calm.items()
    }
    return {"format": FORMAT, "version": FORMAT_VERSION, "calm": own}


def _read(store: Path) -> dict[str, CalmLatency]:
    """Read calm latencies; a missing or damaged file holds none, and is written anew."""
    try:
        value = read_json(store)
        if (value["format"], value["version"]) != (FORMAT, FORMAT_VERSION):
            return {}
        return {
            name: CalmLatency(float(own["ms"]), str(own["seen"]), int(own["sessions"]))
            for name, own in value["calm"].items()
            if float(own["ms"]) > 0
        }
    except (NasError, KeyError, TypeError, ValueError, AttributeError):
        return {}


__all__ = [
    "LARGEST",
    "SMALLEST",
    "References",
    "calm_latencies",
    "known_calm_latencies",
    "open_reference_programs",
    "open_references",
]
