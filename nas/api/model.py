"""A supernet with the verbs: search, profile, evaluate, measure, train, prune, quantize, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas import api, compress, latency, models
from nas.api.data import AnyData, opened
from nas.api.figures import read_subnet
from nas.api.targets import find_target
from nas.models import FamilyT
from nas.progress import Listener
from nas.search import Budget, SearchConfig
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import Tensor, nn


class Model(models.Model[FamilyT]):
    """A supernet: a search space, the weights of all its subnets, and what is known of them.

    Made by `nas.load`, or by `Model.of` around what `nas.models.load_model` returns. Verbs that write leave nothing
    half-written, and nothing is printed: give `progress` a function `(stage, done, total, note)`, or a
    `nas.Progress`, to hear how far a verb is. A subnet is given as a `nas.space.Subnet`, or as the word that names one:
    "largest", "smallest", a run's folder, a file subnet.json.

    Attributes:
        path: The model's folder.
        config: What its supernet.json says.
        supernet: The network, in evaluation mode and channels_last.

    Example:
        model = nas.load("mbv3-cifar10")
        result = model.search(latency="1ms", threads=1)
    """

    @classmethod
    def of(cls, model: models.Model[FamilyT]) -> Model[FamilyT]:
        """Return a loaded model with the verbs; it shares the weights."""
        return model if isinstance(model, cls) else cls(model.path, model.config, model.supernet)

    @property
    def place(self) -> str:
        """What loads the model again: its name if it has one, else its folder."""
        named = {path: name for name, path, _ in models.available_models()}
        return named.get(self.path, str(self.path.resolve()))

    def subnet(self, named: Subnet | str) -> Subnet:
        """Return the subnet that a word names (or that is given); raises `UsageError` for an unknown word."""
        return read_subnet(find_target(named), self) if isinstance(named, str) else named

    def extract(self, subnet: Subnet, calibration: Tensor | None = None) -> nn.Module:
        """Return the static network of a subnet as it is used.

        Args:
            subnet: Which one.
            calibration: uint8 images, (n, channels, height, width), that BatchNorm's statistics are found on; None for
                the model's own.

        Returns:
            An ordinary module in evaluation mode. In subnets of a network that was adopted, layers that read a pruned
            axis are fitted to what the full network computes there (`nas.compress.repair_layers`).
        """
        return compress.extracted(self, subnet, calibration)

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
        progress: Listener | None = None,
    ) -> api.SearchResult:
        """Find the best subnet within a budget, measured on this machine.

        Candidates are ranked by prediction; finalists are measured, and the answer's measured latency is within the
        budget. Searching can be stopped (Ctrl-C) and gone on with: `nas.api.resume_search`.

        Args:
            latency: The longest time of one pass, such as "20ms", "500us".
            macs: The most multiply-accumulates of one input, such as "20M".
            params: The most parameters, such as "1.5M".
            size: The most bytes of weights, such as "6MB".
            runtime: What runs networks ("onnxruntime", "openvino", "torch", ...); None for this machine's default.
            threads: That run a network, at least 1.
            batch_size: Inputs of one pass, at least 1.
            statistic: What the latency budget is about.
            data: Images for qualities that are measured on some: a source, or the arguments of `nas.data.open_data`.
            quality: What is maximised; None for the first of the model's task.
            trials: Subnets to evaluate; None for 500, or 64 where each is measured.
            sampler: What proposes subnets, one of `nas.search.SAMPLERS`.
            seed: Of all draws: same seed, same answer.
            storage: The URL of an Optuna storage; None for a journal in the run's folder.
            run_dir: A new folder; None for runs/MODEL-BUDGET-N.
            progress: Hears what is going on: a stage, steps done, of how many, a note.

        Returns:
            The result; without an answer where no subnet keeps the budget, `outcome.reason` says why.

        Raises:
            UsageError: No budget, a wrong one, a folder that exists, data that do not fit.

        Example:
            result = model.search(latency="1ms", params="2M", threads=1)
            print(result.table())
        """
        given = {"spec": data} if isinstance(data, str) else data
        config = SearchConfig(
            Budget.parse(latency, macs, params, size), self.place, runtime, batch_size, threads, given, quality,
            statistic, trials, sampler, seed, storage,
        )  # fmt: skip
        return api.search_model(config, run_dir, progress, self)

    def profile(
        self,
        *,
        runtime: str | None = None,
        threads: int = 1,
        batch_size: int = 1,
        samples: int | None = None,
        seed: int = 0,
        force: bool = False,
        progress: Listener | None = None,
    ) -> latency.Profile:
        """Return this machine's latency profile of the model, measured where there is none yet.

        Args:
            runtime: What runs networks; None for this machine's default.
            threads: That run a network.
            batch_size: Inputs of one pass.
            samples: Subnets to measure, at least 20; None for 80.
            seed: Of the choice of samples.
            force: Measure anew even where the profile is cached.
            progress: Hears how many subnets of how many are measured, and remarks.

        Returns:
            The profile; `predict_ms` predicts calm latencies, in ms, of codes (n, dimensions).

        Raises:
            UsageError: An unknown runtime, or one that this machine has not.
            NasError: Fewer than 20 samples, a damaged profile, a subnet that does not run.

        Example:
            profile = model.profile(threads=1)
            profile.predict_ms(model.space.codes([model.space.smallest()]))
        """
        return api.profile_model(
            self, runtime=runtime, threads=threads, batch_size=batch_size, samples=samples, seed=seed, force=force,
            progress=progress,
        )  # fmt: skip

    def evaluate(
        self,
        subnet: Subnet | str = "largest",
        data: AnyData | None = None,
        *,
        quality: str | None = None,
        split: Literal["val", "test"] = "test",
        real_calibration: bool = False,
    ) -> api.Evaluation:
        """Measure a quality of a subnet.

        Args:
            subnet: A subnet, or what names one.
            data: Images, where the quality needs some.
            quality: Its name; None for the first of the model's task that can be had with what is given.
            split: The images that are judged on.
            real_calibration: Recalibrate BatchNorm on real training images instead of the model's own.

        Returns:
            The value with its unit and what it was measured on.

        Raises:
            UsageError: An unknown quality, data that are missing or do not fit.

        Example:
            model.evaluate("smallest", "torchvision:CIFAR10").value     # top-1 in %
        """
        chosen = self.subnet(subnet)
        evaluator = self.task.evaluator(
            self, models.chosen_quality(self, quality, data is not None), opened(data), split=split
        )
        module = self.extract(chosen, evaluator.calibration if real_calibration else None)
        return api.judge(self, module, chosen, evaluator)

    def measure(
        self,
        data: AnyData | None = None,
        *,
        count: int = 700,
        held_out: int = 100,
        near_front: int | None = None,
        qualities: Sequence[str] = (),
        real_calibration: bool = False,
        jobs: int | None = None,
        seed: int = 0,
        progress: Listener | None = None,
    ) -> api.Measurements:
        """Measure qualities of many subnets into the model's table, by which searches without data rank subnets.

        What is measured already stays; stopped, it goes on where it was.

        Args:
            data: Images, for qualities that need some; validation images are judged on.
            count: Subnets in the table, at least 10.
            held_out: Of these, how many only judge predictors.
            near_front: Of these, how many are looked for where the rest predict the Pareto front; None for half where
                an output takes several programs, else none.
            qualities: Names; none for all that the data allow.
            real_calibration: Recalibrate BatchNorm on real training images instead of the model's own.
            jobs: Processes side by side; None for one a core, or one with a GPU.
            seed: Of the choice of subnets.
            progress: Hears how many subnets of how many are measured.

        Returns:
            The table, and what predictors fitted to it are worth.

        Raises:
            UsageError: A quality that cannot be measured here, data that do not fit.

        Example:
            nas.load("runs/digits/model").measure("digits", count=300)
        """
        return api.measure_model(
            self, opened(data), count=count, held_out=held_out, near_front=near_front, qualities=qualities,
            real_calibration=real_calibration, jobs=jobs, seed=seed, progress=progress,
        )  # fmt: skip

    def train(
        self,
        recipe: str | Path,
        data: AnyData | None,
        output: str | Path,
        *,
        kind: str | None = None,
        changes: Mapping[str, Any] | None = None,
        resume: bool = False,
        device: str | None = None,
        threads: int | None = None,
        tensorboard: bool = False,
        progress: Listener | None = None,
    ) -> api.TrainingResult:
        """Train another model of this kind by a recipe, beginning with this one where the training can.

        Generators and pipelines are gone on from, or are the teacher, as the recipe says. A classifier is gone on from;
        its last layer begins anew where the data have another number of classes. `nas.api.train_model` trains without
        a model to begin with.

        Args:
            recipe: The name of a recipe that comes with the task's training, or a TOML file.
            data: Images; None for trainings that need none.
            output: The run's folder; with `resume` one that holds a checkpoint.
            kind: Which of the task's trainings; None for the one whose recipe it is, else the first.
            changes: Settings of the recipe that are others here, by name: {"epochs": 3}.
            resume: Go on from the last checkpoint in `output`.
            device: "cpu", "cuda", "cuda:1"; None for CUDA where there is any.
            threads: Of torch; None leaves them as they are.
            tensorboard: Whether logs for TensorBoard are written too.
            progress: Hears steps and remarks.

        Returns:
            The result; its `model()` is the trained one.

        Raises:
            UsageError: An unknown recipe or setting, data that do not fit, a folder in use.
            NasError: A loss that is no longer finite, memory that ran out, a broken checkpoint.

        Example:
            trained = nas.load("mbv3-cifar10").train("digits", "digits", "runs/digits").model()
        """
        return api.train_model(
            recipe, data, output, task=self.task, kind=kind,
            start=None if resume else str(self.path.resolve()), changes=changes, resume=resume,
            device=device, threads=threads, tensorboard=tensorboard, progress=progress,
        )  # fmt: skip

    def prune(
        self,
        output: str | Path | None = None,
        *,
        data: AnyData | None = None,
        progress: Listener | None = None,
        **options: Any,
    ) -> api.Result:
        """Choose a smaller subnet without a table and without a search: what costs least for what it saves.

        Args:
            output: A new folder for the smaller network: an export, for pipelines a pipeline. None writes nothing; a
                pipeline then needs `table=True` alone.
            data: Images that importance is found on, where the kind of model has a use for some.
            progress: Hears the stages "importance" and "sensitivity", and their steps.
            **options: Of `nas.compress.PruneConfig`: subnet, or macs and params such as "60%" or "2M"; table=True for
                the sensitivity of every choice; samples, seed; and importance, a name of `nas.compress.IMPORTANCES` or
                an object. Pipelines take those of `diffusion.prune_pipeline`.

        Returns:
            What was kept, and counts before and after: `to_dict()`, `table()`; of networks also `network()`.

        Raises:
            UsageError: A limit or subnet that makes no sense, a folder that exists.
            InfeasibleError: A limit below the smallest subnet.

        Example:
            network = nas.load("mbv3-cifar10").prune(macs="60%").network()
        """
        return api.prune_model(self, output, data=data, progress=progress, **options)

    def quantize(
        self,
        subnet: Subnet | str | Path = "largest",
        output: str | Path | None = None,
        data: AnyData | None = None,
        **options: Any,
    ) -> api.Result:
        """Find what fewer bits cost and save on this machine, and write what is worth it.

        Networks of one program become int8 in ONNX: of the choices that are 1.2 times as fast as fp32 the most accurate
        is taken. Pipelines try bits for each kind of layer.

        Args:
            subnet: A subnet, or what names one, or the folder of an export, which is taken as it is.
            output: A new folder; None is for pipelines, of which then nothing is written.
            data: Images, where qualities need some.
            **options: For networks runtime is ONNX Runtime, and `threads`, `batch_size`, `progress` are taken; for
                pipelines also `runtime`, `purpose` ("speed" or "size"), `least_psnr` in dB, `with_match`.

        Returns:
            Latency, bytes and quality of what was tried: `to_dict()`, `table()`.

        Raises:
            UsageError: A folder that exists, nothing named to write to.
            NasError: Nothing is worth it, and nothing was written.

        Example:
            nas.load("mbv3-cifar10").quantize("runs/small", "artifacts/small-int8", threads=1)
        """
        return api.quantize_model(self, subnet, output, opened(data), **options)

    def export(
        self,
        subnet: Subnet | str,
        folder: str | Path,
        formats: Sequence[str] = ("onnx", "pt2"),
        *,
        data: AnyData | None = None,
        runtime: str | None = None,
        threads: int | None = None,
        batch_size: int | None = None,
        measured: bool = True,
        progress: Listener | None = None,
    ) -> api.Exported:
        """Write a subnet as files that run without anyfit, checked against the supernet; all of it or nothing.

        Args:
            subnet: A subnet, or what names one.
            folder: A new folder.
            formats: Of "onnx", "pt2" and "safetensors", which is always written.
            data: Images to recalibrate BatchNorm on, and to measure the quality on.
            runtime: What measures the latency; None as a run did, or this machine's default.
            threads: That run the network; None as a run did, or 1.
            batch_size: Inputs of one pass; None as a run did, or 1.
            measured: Whether the latency of the file that ships is measured now.
            progress: Hears what is going on.

        Returns:
            The folder and its manifest.

        Raises:
            UsageError: The folder exists; a format that there is none of.
            ParityError: A file that does not give what the supernet gives.

        Example:
            model.export("smallest", "artifacts/smallest", formats=["onnx"], threads=1)
        """
        target = find_target(subnet) if isinstance(subnet, str) else None
        return api.export_target(
            self, target, folder, formats, subnet=subnet, data=opened(data), runtime=runtime, threads=threads,
            batch_size=batch_size, measured=measured, progress=progress,
        )  # fmt: skip


__all__ = ["Model"]
