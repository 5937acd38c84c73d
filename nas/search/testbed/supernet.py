"""A supernet on this machine: its figures for a search, predicted in bulk and measured for finalists."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.compress import extracted
from nas.data.dataset import open_data
from nas.latency.measuring.fingerprint import machine_fingerprint
from nas.latency.measuring.measure import TurnPlan, measure, unweighted
from nas.latency.measuring.programs import lower_output
from nas.latency.measuring.reference import References, open_references
from nas.latency.profiles.profile import Profile, cached_profile, profile_path
from nas.latency.profiles.profiling import better_profile, build_profile
from nas.latency.runtimes import Runtime, default_runtime, get_runtime
from nas.latency.runtimes.onnx_files import copy_onnx
from nas.latency.workload import Workload
from nas.models import Model, load_model
from nas.progress import Listener, as_progress
from nas.search.testbed.scorer import Measurer, Predictor, Scorer, load_scorer
from nas.search.trials.config import SearchConfig
from nas.search.trials.finalists import Measured
from nas.space import SearchSpace, Subnet

if TYPE_CHECKING:
    from torch import nn

_SECONDS = 0.5, 0.2
"""Of measuring finalists, and for each: on a restless machine no longer, since the answer is measured twice anyway."""

_MANY = 4  # finalists whose programs take so long to write that what checks them is prepared meanwhile
_PATIENCE_S = 20.0  # that a search waits in all for calmer moments of a restless machine
_SLOW = 1.08  # a pace at which waiting for a calmer moment may have cost time


class ModelTestbed:
    """A supernet on this machine under one runtime and workload; a context manager that holds program files."""

    def __init__(
        self,
        model: Model,
        runtime: Runtime,
        workload: Workload,
        scorer: Scorer,
        progress: Listener | None = None,
        statistic: str = "median",
    ) -> None:
        self.model = model
        self.statistic = statistic
        self._runtime = runtime
        self._workload = workload
        self._progress = as_progress(progress)
        self._profile: Profile | None = None
        self._extremes: tuple[float, float] | None = None
        self._drafts: dict[Subnet, Path] = {}  # programs with weights of no matter
        self._programs: dict[Subnet, Path] = {}
        self._references: References | None = None
        self._patience_s = _PATIENCE_S
        self._folder = tempfile.TemporaryDirectory(prefix="anyfit-search-")
        self.scorer = scorer
        self.hint = self._make_hint()

    def __enter__(self) -> ModelTestbed:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def _make_hint(self) -> Callable[[np.ndarray], np.ndarray] | None:
        quality, table = self.scorer.quality, self.model.table()
        if self.scorer.source == "predicted" or table is None or quality.name not in table.values:
            return None
        return Predictor(self.model, quality).score

    @property
    def space(self) -> SearchSpace:
        return self.model.space

    @property
    def pass_dimensions(self) -> Sequence[str]:
        return self.model.family.pass_dimensions

    def counts(self, codes: np.ndarray) -> np.ndarray:
        counts = self.model.supernet.counts(codes)
        return np.column_stack([counts["macs"], counts["params"], counts["size_bytes"]]).astype(np.float64)

    # --- latency ------------------------------------------------------------------------------------------------------

    def extremes_ms(self) -> tuple[float, float]:
        if self._profile is None:
            self._profile = self._cached_profile()
        if self._profile is not None:
            tail = self._profile.tail(self.statistic)
            return tail * self._profile.smallest_ms, tail * self._profile.largest_ms
        if self._extremes is None:
            self._progress("measuring the smallest and the largest subnet", 0, 2, "")
            ends = self.measure(self.space.codes([self.space.smallest(), self.space.largest()]))
            self._extremes = ends[0].of(self.statistic), ends[1].of(self.statistic)
        return self._extremes

    @property
    def threads(self) -> int:
        return self._workload.threads

    @property
    def doubt(self) -> str:
        return "" if self._profile is None else self._profile.doubt

    @property
    def is_ready(self) -> bool:
        return self._profile is not None

    def _cached_profile(self) -> Profile | None:
        return cached_profile(self.model, self._runtime, self._workload)

    def prepare(self) -> None:
        known = self._profile or self._cached_profile()
        advance, report = self._progress.steps("profiling this machine, once"), self._progress.remark
        if known is None:
            found = build_profile(self.model, self._runtime, self._workload, progress=advance, report=report)
        elif known.is_good:
            found = known
        else:
            found = better_profile(known, self.model, self._runtime, self._workload, advance, report)
        if found is not known:
            found.save(profile_path(self.model, self._runtime, self._workload))
        self._profile = found

    def latency_ms(self, codes: np.ndarray) -> np.ndarray:
        if self._profile is None:
            self.prepare()
        assert self._profile is not None
        return self._profile.tail(self.statistic) * self._profile.predict_ms(codes)

    # --- measuring ----------------------------------------------------------------------------------------------------

    def measure(self, codes: np.ndarray) -> Sequence[Measured]:
        references = self._open_references()
        subnets = [self.space.from_codes(row) for row in codes]
        check = self.scorer.check
        is_long = len(subnets) >= _MANY
        with check.preparing() if isinstance(check, Measurer) and is_long else nullcontext():
            wanted = self._lowered(subnets)

        budget_s = _SECONDS[0] + _SECONDS[1] * len(wanted)
        plan = TurnPlan(budget_s=budget_s, patience_s=min(self._patience_s, TurnPlan.patience_s))
        advance, start = self._progress.steps("measuring finalists"), monotonic()
        measured = measure(
            wanted, self._runtime, self._workload, references=references, plan=plan, progress=advance
        )
        if any(found.is_restless or found.pace > _SLOW for found in measured.values()):
            self._patience_s = max(0.0, self._patience_s - max(monotonic() - start - budget_s, 0.0))
        return [measured[subnet] for subnet in subnets]

    def _open_references(self) -> References:
        """Return the reference programs, lowered at first use."""
        if self._references is None:
            self._progress("preparing the reference programs", 0, 0, "")
            self._references = open_references(self.model.family, self._runtime, self._workload)
        return self._references

    def _lowered(self, subnets: Sequence[Subnet]) -> dict[Subnet, Path]:
        """Return the program files of subnets.

        Weights decide no latency, so that at first a network is measured as it is sliced. What is measured again is
        about to be the answer: that is calibrated, the program that is shipped.
        """
        distinct = [*dict.fromkeys(subnets)]
        new = [subnet for subnet in distinct if subnet not in self._drafts]
        for done, subnet in enumerate(new):
            self._progress("writing finalists", done, len(new), "")
            module = unweighted(self.model, subnet, self._runtime)
            self._drafts[subnet] = self._lower(subnet, module, f"draft-{len(self._drafts)}")
        for subnet in distinct:
            if subnet not in new:
                self._final(subnet)
        return {subnet: self._programs.get(subnet, self._drafts[subnet]) for subnet in distinct}

    def _final(self, subnet: Subnet) -> Path:
        """Return the program of a calibrated subnet, as it is shipped."""
        if subnet not in self._programs:
            module = extracted(self.model, subnet)
            self._programs[subnet] = self._lower(subnet, module, str(len(self._programs)))
        return self._programs[subnet]

    def _lower(self, subnet: Subnet, module: nn.Module, name: str) -> Path:
        """Write what an output of a static network takes."""
        return lower_output(module, self.model.family, subnet, self._runtime, Path(self._folder.name, name))

    def keep_program(self, subnet: Subnet, folder: Path) -> Path | None:
        if subnet not in self._drafts or (program := self._final(subnet)).suffix != ".onnx":
            return None

        copy_onnx(program, folder / "model.onnx")
        return folder / "model.onnx"

    def describe(self) -> dict[str, Any]:
        profile = self._profile
        return {
            "measured_with": {
                "runtime": self._runtime.name,
                "runtime_version": self._runtime.version,
                "workload": self._workload.to_dict(),
                "machine": machine_fingerprint(self._runtime.device).to_dict(),
            },
            "latency_error": None if profile is None else dict(profile.error),
            "calm": None if self._references is None else self._references.to_dict(),
            "evaluated_on": (self.scorer.check or self.scorer).data,
        }


@contextmanager
def open_testbed(
    config: SearchConfig, progress: Listener | None = None, model: Model | None = None
) -> Iterator[ModelTestbed]:
    """Load the model (unless it is given), the runtime and the data of a search, for the time of a block.

    An unknown name or an unusable runtime raises in one sentence. Without data torch has little to compute here, and
    works on one thread: on a busy machine two that wait for each other took twenty times as long.
    """
    runtime = default_runtime() if config.runtime is None else get_runtime(config.runtime)
    workload = Workload(batch_size=config.batch_size, threads=config.threads)
    runtime.require(workload)
    hear = as_progress(progress)
    hear("loading the model")
    import torch

    threads = torch.get_num_threads()
    try:
        if config.data is None:
            torch.set_num_threads(1)
        model = load_model(config.model) if model is None else model
        data = None
        if config.data is not None:
            hear("reading the images")
            data = open_data(**config.data)
        scorer = load_scorer(model, data, config.quality)
        with ModelTestbed(model, runtime, workload, scorer, hear, config.statistic) as testbed:
            yield testbed
    finally:
        torch.set_num_threads(threads)
