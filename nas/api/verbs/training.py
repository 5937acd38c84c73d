"""Training: a supernet of any kind by a recipe, each kind through the training that its task names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import data as image_data
from nas import models
from nas._table import Result, Table
from nas.api.model import Model
from nas.api.verbs.adopting import adopt_model
from nas.errors import UsageError
from nas.progress import Listener, as_progress
from nas.train.log import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 20
_KEPT = ("step", "images", "epoch", "lr", "images_per_s")  # of log.csv: no curves


@dataclass(frozen=True)
class TrainingResult(Result):
    """What a training left.

    Attributes:
        run_dir: The run's folder: `model`, `log.csv`, `recipe.json`, `checkpoint.pt`.
        folder: The model's folder, which `nas.load` takes.
        log: The rows of `log.csv`: steps, mean losses, qualities that were measured meanwhile.
        info: What the model's folder says of its training.

    Example:
        result = nas.api.train_model("digits", "digits", "runs/digits", changes={"epochs": 2})
        result.model().search(macs="1M")
    """

    run_dir: Path
    folder: Path
    log: Sequence[Mapping[str, str]]
    info: Mapping[str, Any]

    def model(self) -> Model:
        """Return the trained model."""
        return Model.of(models.load_model(self.folder))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that the training commands print."""
        return {"model": str(self.folder), "run_dir": str(self.run_dir), "info": dict(self.info)}

    def table(self) -> Table:
        """Return the log, at most twenty rows of it, evenly."""
        step = max(1, -(-len(self.log) // _ROWS))
        rows = [*self.log[step - 1 :: step]]
        columns = [name for name in (self.log[0] if self.log else ()) if any(row[name] for row in rows)]
        return Table(columns, [[row[name] or "–" for name in columns] for row in rows])

    def plot(self) -> Figure:
        """Return losses and qualities over the steps as a matplotlib figure, a row each."""
        from matplotlib.figure import Figure

        curves = {
            name: [(int(row["step"]), float(row[name])) for row in self.log if row[name]]
            for name in (self.log[0] if self.log else ())
            if name not in _KEPT
        }
        curves = {name: points for name, points in curves.items() if points}
        figure = Figure(figsize=(6.4, 1.2 + 1.6 * max(1, len(curves))), layout="constrained")
        axes = figure.subplots(max(1, len(curves)), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (name, points) in zip(axes, curves.items(), strict=False):
            axis.plot(*zip(*points, strict=True))
            axis.set_ylabel(name.replace("_", " "))
        axes[-1].set_xlabel("step")
        return figure


def train_model(
    recipe: str | Path,
    data: image_data.Data | Mapping[str, Any] | str | None,
    output: str | Path,
    *,
    task: str | models.Task = "classification",
    kind: str | None = None,
    start: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    threads: int | None = None,
    tensorboard: bool = False,
    progress: Listener | None = None,
) -> TrainingResult:
    """Train a model by a recipe, in a folder of its own.

    Args:
        recipe: The name of a recipe that comes with the task's training, or a TOML file.
        data: Images: opened ones, a source such as "digits" or a folder, or the arguments of
            `nas.data.dataset.open_data`; None for trainings that need none.
        output: The run's folder; with `resume` one that holds a checkpoint.
        task: What is trained: the name of a task, such as "classification", "generation", "diffusion".
        kind: Which of the task's trainings, such as "distil"; None for the one whose recipe it is, else the first.
        start: A run's folder, a model or a pipeline to go on from, or that is the teacher, where the training has one.
        changes: Settings of the recipe that are others here, by name.
        resume: Go on from the last checkpoint in `output`.
        device: "cpu", "cuda", "cuda:1"; None for CUDA where there is any.
        threads: Of torch; None leaves them as they are.
        tensorboard: Whether logs for TensorBoard are written too.
        progress: Hears steps and remarks; without one nothing is said.

    Returns:
        The result; its `model()` is the trained one.

    Raises:
        UsageError: An unknown recipe or setting, data that do not fit, a folder in use.
        NasError: A loss that is no longer finite, memory that ran out, a broken checkpoint.
    """
    chosen = models.get_task(task) if isinstance(task, str) else task
    training, hear = _training(chosen, str(recipe), kind), as_progress(progress)
    if start is not None and not training.starts:
        raise UsageError(
            f"start is {str(start)!r}, but a training for {chosen.name} begins with new weights; leave it out"
        )
    whole, changed = training.load_recipe(str(recipe)), dict(changes or {})
    settings = whole.replaced(**changed)
    if remark := training.remark(whole, settings, changed):
        hear.remark(remark)
    opened, own = _opened(data, training)
    if start is None and not resume and (network := getattr(settings, "network", None)) is not None:
        start = adopted_start(network, opened, hear)
    begin = {"start": start} if training.starts else {}
    folder = training.run(
        settings, opened, Path(output), **begin, **own, resume=resume, device=device, threads=threads,
        tensorboard=tensorboard, progress=hear,
    )  # fmt: skip
    return read_training(Path(output), folder)


def read_training(run_dir: Path, folder: Path | None = None) -> TrainingResult:
    """Return what the training in `run_dir` left; its model is at `folder`, by default in `run_dir`."""
    place = folder or run_dir / "model"
    return TrainingResult(run_dir, place, read_log(run_dir), models.read_model_config(place).get("info", {}))


def _training(task: models.Task, recipe: str, kind: str | None) -> models.Training:
    known = task.trainings()
    if kind is None:
        owners = [name for name, each in known.items() if recipe in each.recipe_names()]
        kind = next(iter([*owners, *known]), "")
    if kind not in known:
        names = ", ".join(known) or "none"
        raise UsageError(f"there is no training {kind!r} for {task.name}; there are: {names}")
    return known[kind]


def adopted_start(network: Any, data: Any, progress: Listener | None = None) -> Path:
    """Return the folder of the supernet that a recipe begins with, made of its `network` once, and cached.

    Args:
        network: Of the recipe (`nas.train.classifiers.recipe.AdoptedNetwork`).
        data: Images of which statistics and importance are found.
        progress: Hears stages.
    """
    hear = as_progress(progress)
    given = {**dict(network), "weights": network.weights or None}
    made = adopt_model(given.pop("name"), measured=False, data=data, progress=hear, **given)
    hear.remark(f"beginning with {made.path}")
    return made.path


def _opened(data: Any, training: models.Training) -> tuple[Any, dict[str, Any]]:
    if data is None or isinstance(data, image_data.Data):
        return data, {}
    given: dict[str, Any] = {"spec": data} if isinstance(data, str) else dict(data)
    return training.open_data(**given) if training.open_data else (image_data.open_data(**given), {})


__all__ = ["TrainingResult", "adopted_start", "read_training", "train_model"]
