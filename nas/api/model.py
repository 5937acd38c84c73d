"""A supernet with the verbs of the commands: search, profile, evaluate, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas import families
from nas._errors import UsageError
from nas.api.figures import measured_with, read_subnet, subnet_figures
from nas.api.results import Evaluation, Exported, SearchResult
from nas.api.targets import Target, find_target

if TYPE_CHECKING:
    from torch import nn

    from nas.latency.profile import Profile
    from nas.search import Progress
    from nas.space import Subnet
    from nas.train.data import Data

Report = Callable[[str], None]


def load(name_or_path: str | Path) -> Model | nn.Module:
    """Load a supernet by name or folder, or an exported network.

    Args:
        name_or_path: A shipped or cached model's name, a folder that a training wrote, "diffusion:PLACE", or a folder
            that an export wrote.

    Returns:
        A `Model`; of an export the static module, in evaluation mode.

    Raises:
        UsageError: An unknown name, another kind of folder, a pickle.
        NasError: Damaged files.
    """
    from nas.export import load as load_any

    found = load_any(name_or_path)
    return Model.of(found) if isinstance(found, families.Model) else found


class Model(families.Model):
    """A supernet: a search space, the weights of all its subnets, and what is known of them."""

    @classmethod
    def of(cls, model: families.Model) -> Model:
        """Return a loaded model with the verbs; it shares the weights."""
        return model if isinstance(model, cls) else cls(model.path, model.config, model.supernet)

    def search(
        self,
        latency: str | None = None,
        *,
        macs: str | None = None,
        params: str | None = None,
        size: str | None = None,
        runtime: str | None = None,
        threads: int = 1,
        batch_size: int = 1,
        statistic: Literal["median", "p90", "p99"] = "median",
        data: Mapping[str, Any] | str | None = None,
        quality: str | None = None,
        trials: int | None = None,
        sampler: str = "anyfit",
        seed: int = 0,
        storage: str | None = None,
        run_dir: str | Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult:
        """Find the best subnet within a budget, measured on this machine.

        Args:
            latency: The longest time of one pass, such as "20ms".
            macs: The most multiply-accumulates of one input, such as "20M".
            params: The most parameters, such as "1.5M".
            size: The most bytes of weights, such as "6MB".
            runtime: What runs networks; None for this machine's default.
            threads: That run a network.
            batch_size: Inputs of one pass.
            statistic: What the latency budget is about.
            data: Images for qualities that are measured on some: a source, or the arguments of `open_data`.
            quality: What is maximised; None for the first of the model's task.
            trials: Subnets to evaluate; None for 500, or 64 where each is measured.
            sampler: What proposes subnets, one of `nas.search.SAMPLERS`.
            seed: Of all draws.
            storage: The URL of an Optuna storage; None for a journal in the run's folder.
            run_dir: A new folder; None for runs/MODEL-BUDGET-N.
            progress: Hears what is going on: a stage, steps done, of how many, a note.

        Returns:
            The result; without an answer where no subnet keeps the budget, `outcome.reason` says why.

        Raises:
            UsageError: No budget, a wrong one, a folder that exists, data that do not fit.
        """
        from nas.search import Budget, SearchConfig, new_run, open_testbed, silent

        given = {"spec": data} if isinstance(data, str) else data
        config = SearchConfig(
            Budget.parse(latency, macs, params, size), self.place, runtime, batch_size, threads, given, quality,
            statistic, trials, sampler, seed, storage,
        )  # fmt: skip
        told = progress or silent
        folder = None if run_dir is None else Path(run_dir)
        with open_testbed(config, told, self) as bed:
            outcome = new_run(config, bed, folder, f"{self.path.name}-{config.budget.slug}", told)
        return SearchResult(outcome, self)

    @property
    def place(self) -> str:
        """What loads the model again: its name if it has one, else its folder."""
        named = {path: name for name, path, _ in families.available_models()}
        return named.get(self.path, str(self.path.resolve()))

    def profile(
        self,
        *,
        runtime: str | None = None,
        threads: int = 1,
        batch_size: int = 1,
        samples: int | None = None,
        seed: int = 0,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
        report: Report = lambda text: None,
    ) -> Profile:
        """Return this machine's latency profile of the model, measured where there is none yet.

        Args:
            runtime: What runs networks; None for this machine's default.
            threads: That run a network.
            batch_size: Inputs of one pass.
            samples: Subnets to measure, at least 20; None for 80.
            seed: Of the choice of samples.
            force: Measure anew even where the profile is cached.
            progress: Hears how many subnets of how many are measured.
            report: Hears remarks.

        Returns:
            The profile; `predict_ms` predicts calm latencies of codes.
        """
        from nas.latency.profile import SAMPLES, load_profile, profile_path
        from nas.latency.profiling import build_profile
        from nas.latency.runtimes import chosen_runtime
        from nas.latency.workload import Workload

        chosen, workload = chosen_runtime(runtime), Workload(batch_size=batch_size, threads=threads)
        chosen.require(workload)
        path = profile_path(self, chosen, workload)
        if path.exists() and not force:
            return load_profile(self, chosen, workload)
        found = build_profile(self, chosen, workload, samples or SAMPLES, seed, progress, report)
        found.save(path)
        return found

    def evaluate(
        self,
        subnet: Subnet | str = "largest",
        data: Data | None = None,
        *,
        quality: str | None = None,
        split: Literal["val", "test"] = "test",
        real_calibration: bool = False,
    ) -> Evaluation:
        """Measure a quality of a subnet.

        Args:
            subnet: A subnet, or what names one: "largest", "smallest", a run's folder, a file subnet.json.
            data: Images, where the quality needs some; see `nas.train.data.open_data`.
            quality: Its name; None for the first of the model's task.
            split: The images that are judged on.
            real_calibration: Recalibrate BatchNorm on real training images instead of the model's own.

        Returns:
            The value with its unit and what it was measured on.
        """
        chosen = read_subnet(find_target(subnet), self) if isinstance(subnet, str) else subnet
        evaluator = self.task.evaluator(self, self.task.quality(quality), data, split=split)
        module = self.extract(chosen, evaluator.calibration if real_calibration else None)
        return judged(self, module, chosen, evaluator)

    def export(
        self,
        subnet: Subnet | str,
        folder: str | Path,
        formats: Sequence[str] = ("onnx", "pt2"),
        **options: Any,
    ) -> Exported:
        """Write a subnet as files that run without anyfit, checked against the supernet; all of it or nothing.

        Args:
            subnet: A subnet, or what names one: "largest", "smallest", a run's folder, a file subnet.json.
            folder: A new folder.
            formats: Of "onnx", "pt2" and "safetensors", which is always written.
            **options: As of `export_target`.

        Returns:
            The folder and its manifest.

        Raises:
            UsageError: The folder exists; a format that there is none of.
            ParityError: A file that does not give what the supernet gives.
        """
        target = find_target(subnet) if isinstance(subnet, str) else None
        return export_target(self, target, folder, formats, subnet=subnet, **options)


def judged(
    model: families.Model, module: nn.Module, subnet: Subnet, evaluator: families.Evaluator
) -> Evaluation:
    """Return the quality that an evaluator finds of a network."""
    value, kind = evaluator(model, module, subnet), evaluator.quality
    return Evaluation(subnet, kind.name, kind.label, value, kind.unit, evaluator.data, kind.text(value))


def export_target(
    model: families.Model,
    target: Target | None,
    folder: str | Path,
    formats: Sequence[str] = ("onnx", "pt2"),
    *,
    subnet: Subnet | str | None = None,
    data: Data | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    measured: bool = True,
    report: Report = lambda text: None,
) -> Exported:
    """Export what a target names, or a subnet.

    Args:
        model: The supernet.
        target: What is exported, with what is known of it; None where `subnet` says it.
        folder: A new folder.
        formats: Names of formats.
        subnet: The choices, where there is no target.
        data: Images to recalibrate BatchNorm on, and to measure the quality on.
        runtime: What measures the latency; None as the run did, or this machine's default. `threads` and `batch_size`
            likewise, and 1.
        measured: Whether the latency of the file that ships is measured now.
        report: Hears what is going on.
    """
    from nas.export import Export, parse_formats
    from nas.latency.runtimes import chosen_runtime
    from nas.latency.workload import Workload

    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} already exists; name a new folder with --output or remove that one first")
    chosen = parse_formats(",".join(formats))
    kept = measured_with(target.where) if target is not None and target.kind == "run" else {}
    how = chosen_runtime(runtime or kept.get("runtime"))
    workload = Workload(
        batch_size=batch_size or kept.get("batch_size", 1), threads=threads or kept.get("threads", 1)
    )
    how.require(workload)
    evaluators = [] if data is None else [
        model.task.evaluator(model, each, data, split="test") for each in model.task.qualities
    ]  # fmt: skip
    quality, latency = [], []
    if target is not None:
        figures = subnet_figures(target, model)
        subnet, quality, latency = figures.subnet, figures.quality, figures.latency
    assert subnet is not None
    assert not isinstance(subnet, str)
    manifest = Export(
        model=model,
        subnet=subnet,
        formats=chosen,
        calibration=evaluators[0].calibration if evaluators else None,
        quality=quality,
        latency=[found for found in latency if not measured or found.kind == "predicted"],
        evaluators=evaluators,
        runtime=how if measured else None,
        workload=workload,
        report=report,
    ).write(folder)
    return Exported(folder, manifest)
