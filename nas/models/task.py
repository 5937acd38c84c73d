"""What a kind of model is for: how its subnets are judged, and what goes into and comes out of them.

A family names its task; packages register tasks under the entry point group "anyfit.tasks". Search, tables, export and
the commands know only this interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nas import elastic
from nas.errors import NasError, UsageError
from nas.models.model import Model
from nas.models.preprocessing import Preprocessing
from nas.space import Subnet

if TYPE_CHECKING:
    from torch import Tensor

GROUP = "anyfit.tasks"

Forward = Callable[[Any], "Tensor"]
"""What computes a network: its `Inputs` to its output."""
Split = Literal["train", "val", "test"]
SPLIT_WORDS: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Quality:
    """A quality that subnets have: top-1, PSNR, a distance between distributions.

    Attributes:
        name: Its name in files and commands.
        label: Its name for readers.
        unit: "%", "dB", or "" for a plain number.
        higher_is_better: Which way is better.
        bounds: The least and the greatest value it can have.
    """

    name: str
    label: str
    unit: str = ""
    higher_is_better: bool = True
    bounds: tuple[float, float] = (float("-inf"), float("inf"))

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.higher_is_better else -1

    def to_additive(self, values: np.ndarray) -> np.ndarray:
        """Return values (n,) as what effects of choices add up in: of decibels minus the error, else themselves."""
        return -(10.0 ** (-values / 20)) if self.unit == "dB" else values

    def from_additive(self, values: np.ndarray) -> np.ndarray:
        """Return what `to_additive` made `values` (n,) of; decibels are at most 100."""
        return -20 * np.log10(np.maximum(-values, 1e-5)) if self.unit == "dB" else values

    def text(self, value: float) -> str:
        """Return a value for readers, with its unit."""
        return quality_text(value, self.unit)


def quality_text(value: float, unit: str) -> str:
    """Return the value of a quality for readers: percentages with two decimals, others with four digits."""
    return f"{value:.2f}%" if unit == "%" else f"{value:.4g}{unit and ' '}{unit}"


@dataclass(frozen=True)
class Examples:
    """What a network is looked at with, to find what of it matters.

    Attributes:
        batches: (inputs of the largest network, what it should give for them), a batch each.
        what: in a few words what they are, for readers.
        loss: a scalar of outputs and what they should be; None where nobody knows what they should be, and the batches
            hold the network's own outputs.
    """

    batches: Sequence[tuple[Any, Tensor]]
    what: str
    loss: Callable[[Tensor, Tensor], Tensor] | None = None


class Evaluator(ABC):
    """Finds a quality of static networks on fixed inputs.

    Life cycle: `Task.evaluator` makes one for a model; it is then called for one subnet after another, by several
    threads or, pickled, by several processes, so what it remembers between calls (inputs fitted to a size, what the
    full network makes) must not travel: leave it out in `__getstate__`. The same network has the same quality again.
    """

    quality: Quality
    data: str
    """What it measures on, for readers: "5000 test images of digits"."""
    calibration: Tensor | None = None
    """Images, uint8, for statistics that a subnet recomputes; None: the model's own."""
    input_count: int | None = None
    """How many inputs it runs, where these are so few that writing a program may take longer; None: thousands."""

    @abstractmethod
    def __call__(self, model: Model, forward: Forward, subnet: Subnet) -> float:
        """Judge a network.

        Args:
            model: Whose subnet it is; the weights of its supernet may be missing (an exported network's).
            forward: What computes the network, from `Inputs` of the size that `subnet` takes to its output: a static
                module in evaluation mode, or programs of a runtime.
            subnet: Which one.

        Returns:
            The quality in its own unit, within its bounds.
        """

    def prepare(self, model: Model) -> Callable[[], None]:
        """Begin with what every call needs of a model, for who has other work to do meanwhile.

        Returns:
            What is left to do, which may run in another thread. A call does it by itself where nobody did.
        """
        return lambda: None


@dataclass(frozen=True)
class Training:
    """One way of training models of a task, such as from scratch, or beside a teacher.

    Attributes:
        recipe_names: Returns the names of the recipes that come with it.
        load_recipe: Reads a recipe (`nas.train.settings.Settings`) by name, or a TOML file by path.
        run: Trains. Called with a recipe, `nas.data.dataset.Data` (None where none was given) and the run's folder, by
            keyword with `start` where `starts` says so, with what `open_data` adds, and with the options of
            `nas.train.trainer.Trainer`; it returns the model's folder.
        starts: Whether a trained model can be gone on from, or is needed as the teacher.
        open_data: Opens what the user calls data, given the arguments of `nas.data.dataset.open_data` and those of its
            own; it returns the data and keywords for `run`. None: the usual data, no keywords.
        remark: Returns what is worth saying of a recipe and what changes made of it, "" for nothing.
    """

    recipe_names: Callable[[], list[str]]
    load_recipe: Callable[[str], Any]
    run: Callable[..., Path]
    starts: bool = False
    open_data: Callable[..., tuple[Any, dict[str, Any]]] | None = None
    remark: Callable[[Any, Any, Mapping[str, Any]], str] = lambda whole, chosen, changes: ""

    @classmethod
    def of(cls, package: str, run: str = "train", **options: Any) -> Training:
        """Return the training of a package, which is imported when the training is used.

        Args:
            package: The name of one that has `recipe_names`, `load_recipe` and the function `run`.
            run: The name of what trains.
            **options: The other attributes.
        """

        def named(name: str) -> Callable[..., Any]:
            return lambda *given, **more: getattr(import_module(package), name)(*given, **more)

        return cls(named("recipe_names"), named("load_recipe"), named(run), **options)


class Task(ABC):
    """A kind of model: what goes in and comes out of its networks, and by which qualities they are judged.

    Life cycle: registered in the entry point group "anyfit.tasks", made once a process without arguments, named by
    families. It holds nothing that a model or a user's data decide: those are handed to its methods. Its module is
    imported with the first model; `nas.testing.tasks` has the tests that a task must pass.
    """

    name: str
    qualities: tuple[Quality, ...]
    """What subnets can be judged by; the first is what a search maximises unless told otherwise."""
    quantizer: str = "nas quantize"
    """The command that quantizes exported networks of this kind."""

    def quality(self, name: str | None = None) -> Quality:
        """Return the quality called `name`, without one the first.

        Raises:
            UsageError: The task has no such quality.
        """
        for quality in self.qualities:
            if name in (None, quality.name):
                return quality
        known = ", ".join(quality.name for quality in self.qualities)
        raise UsageError(f"there is no quality {name!r} for {self.name}; choose from {known}")

    def qualities_of(self, model: Model) -> tuple[Quality, ...]:
        """Return those of the qualities that subnets of `model` can be judged by; all by default."""
        return self.qualities

    @abstractmethod
    def needs_data(self, quality: Quality) -> bool:
        """Whether judging this quality needs images of the user's."""

    @abstractmethod
    def evaluator(
        self,
        model: Model,
        quality: Quality,
        data: Any = None,
        *,
        split: Split = "val",
        limit: int | None = None,
    ) -> Evaluator:
        """Return what measures subnets of a model.

        Args:
            model: Whose subnets.
            quality: One of `qualities_of(model)`.
            data: Images of the user's (`nas.data.dataset.Data`), for a quality that needs some.
            split: Which of them: subnets are ranked on "val", figures are given of "test".
            limit: How many images at most; None: all.

        Raises:
            UsageError: `data` does not fit the model, or is missing and needed.
        """

    @abstractmethod
    def inputs(
        self, model: Model, subnet: Subnet, count: int, images: Tensor | None = None
    ) -> tuple[Any, str]:
        """Make inputs that are like those in use: what exported files are compared on.

        Args:
            model: Whose subnet.
            subnet: Whose network takes them.
            count: How many.
            images: uint8 (n, channels, height, width) of the largest subnet's size, which they are made of where the
                network takes images; by default the model's calibration images, without these noise.

        Returns:
            `Inputs` of `count` examples, always the same, and in a few words what they are.
        """

    def examples(self, model: Model, count: int, data: Any = None, *, seed: int = 0) -> Examples:
        """Return `count` examples of the largest network, for importance and sensitivity.

        By default they are its own inputs (`inputs`) with its own outputs. Raises `UsageError` for data, where a task
        has no use for some, and for data that do not fit.
        """
        if data is not None:
            raise UsageError(
                f"what matters in a network for {self.name} is found without data; leave --data out"
            )
        return own_examples(self, model, count)

    def trainings(self) -> Mapping[str, Training]:
        """Return the ways of training models of this kind, by name, the usual one first; none by default."""
        return {}

    def prune(self, model: Model, output: Path | None, **options: Any) -> Any:
        """Write a smaller model, where an output takes several programs; what is kept is what matters most.

        Networks of one program are pruned by `nas.compress.prune_model` and never come here. `options` and the result
        are the kind's own; the result has `to_dict()` and `table()`. Raises `UsageError` by default.
        """
        raise UsageError(
            f"models for {self.name} are not pruned, but {model.name} is one; search for a smaller subnet instead"
        )

    def quantize(self, model: Model, subnet: Subnet, output: Path | None, **options: Any) -> Any:
        """Find what fewer bits cost and save for networks of several programs, and write what is worth it.

        Networks of one program are quantized by `nas.export.quantize_artifact` and never come here. `options` and the
        result are the kind's own; the result has `to_dict()` and `table()`. Raises `UsageError` by default.
        """
        raise UsageError(
            f"models for {self.name} are not quantized, but {model.name} is one; export it as it is"
        )

    def finish_artifact(self, model: Model, network: Any, subnet: Subnet, folder: Path) -> None:  # noqa: B027
        """Write into an artifact what else users of this kind of model expect; nothing by default.

        Args:
            model: What is exported from.
            network: The extracted network of `subnet`.
            subnet: Which one.
            folder: The artifact's; the files of the formats are there already.
        """

    @abstractmethod
    def interface(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> str:
        """Say for a model card what the network takes and gives.

        Args:
            shape: Of one input (the first of several), without the batch.
            how: What becomes of pictures; its mean and std are () where nothing is normalised, and its size is where
                nobody says how they are cropped.
            classes: Names of the model's classes, in order.

        Returns:
            Markdown that begins with the input and goes on with the output.
        """

    @abstractmethod
    def example_code(self, shape: tuple[int, ...], how: Preprocessing, classes: list[str]) -> tuple[str, str]:
        """Say for a model card how an input is made.

        Args:
            shape: As for `interface`, and so are `how` and `classes`.

        Returns:
            A title, and Python lines that make an input batch `x` of one, a NumPy array (1, *shape). They may read
            `name`, a picture file, or `names`, several. A task with a `usage` of its own may give whole programs.
        """

    def usage(self) -> Sequence[tuple[str, str, str]] | None:
        """Return for a model card how files are used after that: file, title, Python lines; None for the usual ways."""
        return None


def chosen_quality(model: Model, name: str | None, has_data: bool) -> Quality:
    """Return the quality called `name`; without one the task's first, or the first that can be had without data.

    Args:
        model: Whose subnets are judged.
        name: What the user named, or None.
        has_data: Whether there are images of the user's.

    Raises:
        UsageError: The task has no such quality.
    """
    first, table = model.task.quality(name), model.table()
    known = () if table is None else table.values
    if name is not None or has_data or not model.task.needs_data(first) or first.name in known:
        return first
    return next((each for each in model.task.qualities_of(model) if not model.task.needs_data(each)), first)


def own_examples(task: Task, model: Model, count: int, batch_size: int = 32) -> Examples:
    """Return a network's own inputs with its own outputs."""
    import torch

    largest = model.space.largest()
    inputs, what = task.inputs(model, largest, count)
    network = model.extract(largest)
    with torch.no_grad():
        batches = [(x, elastic.call(network, x)) for x in elastic.split_inputs(inputs, batch_size)]
    return Examples(batches, what)


@cache
def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@cache
def get_task(name: str) -> Task:
    """Return the task `name`; raises `NasError` when the package that has it is not installed."""
    entry = _found().get(name)
    if entry is None:
        raise NasError(
            f"no installed package has the task {name!r} (there are {', '.join(sorted(_found()))}); install it"
        )
    return entry.load()()
