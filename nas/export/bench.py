"""The latency of extracted networks, measured on the very file that ships where the runtime can read it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.elastic import Family
from nas.export.formats import Onnx
from nas.export.manifest import SEQUENCE, Latency
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import Measurement, measure
from nas.latency.measuring.programs import lower_output
from nas.latency.measuring.reference import open_references
from nas.latency.runtimes import Runtime
from nas.latency.workload import Workload
from nas.progress import Steps
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """A static module with what is needed to lower it; `folder` holds its artifact, if there is one."""

    module: nn.Module
    family: Family
    subnet: Subnet
    folder: Path | None = None

    def program(self, runtime: Runtime, path: Path) -> Path:
        """Return the program file of this network for `runtime`: the shipped one, or one written at `path`."""
        if self.folder is not None and runtime.reads_onnx:
            for shipped in (self.folder / Onnx.file, self.folder / SEQUENCE):
                if shipped.is_file():
                    return shipped
        return lower_output(self.module, self.family, self.subnet, runtime, path)


def measure_networks(
    networks: Mapping[str, Network],
    runtime: Runtime,
    workload: Workload,
    progress: Steps | None = None,
) -> dict[str, Latency]:
    """Measure networks side by side, in turns, in a process of their own.

    The reference programs are those of the first network's family.
    """
    runtime.require(workload)
    first = next(iter(networks.values()))
    references = open_references(first.family, runtime, workload)
    with tempfile.TemporaryDirectory(prefix="anyfit-") as scratch:
        programs = {}
        for number, (key, network) in enumerate(networks.items()):
            own = Path(scratch, str(number))  # networks of different models share no program
            own.mkdir()
            programs[key] = network.program(runtime, own / "network")
        measured = measure(programs, runtime, workload, references=references, progress=progress)
    return {key: measured_latency(value, runtime, workload) for key, value in measured.items()}


def measured_latency(measurement: Measurement, runtime: Runtime, workload: Workload) -> Latency:
    """Return a measurement of this machine as a manifest keeps it."""
    return Latency(
        kind="measured",
        median_ms=measurement.median_ms,
        p90_ms=measurement.p90_ms,
        runtime=f"{runtime.name} {runtime.version}",
        machine=str(machine_fingerprint(runtime.device)),
        batch_size=workload.batch_size,
        threads=workload.threads,
        precision=workload.precision,
        raw_ms=measurement.raw_median_ms or None,
        is_restless=measurement.is_restless,
    )
