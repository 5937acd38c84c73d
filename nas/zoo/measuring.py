"""Published models measured on this machine, with first weights: weights decide no latency."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from nas.errors import NasError, is_out_of_memory
from nas.latency import Measurement, Runtime, Workload
from nas.latency.measuring.measure import TurnPlan, measure
from nas.latency.measuring.reference import LARGEST, SMALLEST, known_calm_latencies, open_reference_programs
from nas.zoo.facts import PublishedModel, Zoo

_PLAN = TurnPlan(target=0.03, min_bursts=3, max_bursts=6, burst_ms=4.0, patience_s=2.0)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_REASON = 160  # characters of an error that are kept


class ModelTimer:
    """Times models of a zoo in a process of their own, in turns with the zoo's reference programs."""

    def __init__(self, zoo: Zoo, runtime: Runtime, workload: Workload) -> None:
        runtime.require(workload)
        self._zoo, self._runtime, self._workload = zoo, runtime, workload
        self._references = [zoo.name, *zoo.references]

    def calm_ms(self) -> dict[str, float]:
        """Return the calm latencies of the reference programs, in ms, as far as this machine knows them."""
        return known_calm_latencies(self._references, self._runtime, self._workload)

    def __call__(self, models: Sequence[PublishedModel]) -> dict[str, Measurement | str]:
        """Measure models together; one that cannot be written or run has the reason in place of a measurement.

        Returns:
            A `nas.latency.Measurement` or a sentence for each model, by its program.
        """
        found: dict[str, Measurement | str] = {}
        with tempfile.TemporaryDirectory(prefix="anyfit-zoo-") as scratch:
            files: dict[str, Path] = {}
            for model in models:
                try:
                    files[model.program] = self._lower(model, Path(scratch, str(len(files))))
                except Exception as error:  # whatever a published model does that an exporter does not know
                    found[model.program] = _reason("cannot be written", error)
            return found | self._measure(files)

    def _measure(self, files: Mapping[str, Path]) -> dict[str, Measurement | str]:
        references = open_reference_programs(
            self._references, self._write_references, self._runtime, self._workload
        )
        try:
            measured = measure(files, self._runtime, self._workload, references=references, plan=_PLAN)
            return {**measured}
        except NasError as error:
            if len(files) == 1:
                return dict.fromkeys(files, _reason("cannot be run", error))
        # One of them ended the process: each by itself shows which.
        return {name: found for key in files for name, found in self._measure({key: files[key]}).items()}

    def _lower(self, model: PublishedModel, path: Path) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = self._zoo.build(model).eval()
        return self._runtime.lower(module, torch.zeros(1, 3, model.image_size, model.image_size), path)

    def _write_references(self, folder: Path) -> dict[str, str]:
        names = zip((SMALLEST, LARGEST), self._zoo.references, strict=True)
        return {name: self._lower(self._zoo.programs[program], folder / name).name for name, program in names}


def _reason(what: str, error: Exception) -> str:
    if is_out_of_memory(error):
        return f"{what}: there is too little memory"
    text = " ".join(_COLOUR.sub("", str(error)).split()) or type(error).__name__
    return f"{what}: {text[:_REASON]}"


__all__ = ["ModelTimer"]
