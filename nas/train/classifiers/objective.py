"""Training a classifier's supernet: every subnet learns from labels, or from what the largest network says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.data.dataset import Data, Split
from nas.elastic import Supernet, channels_last
from nas.errors import UsageError
from nas.families import get_family
from nas.models import Calibration, Model, Preprocessing, load_model, round_to_half, save_model
from nas.seeds import seed_globals, subnet_rng
from nas.space import SearchSpace, Subnet
from nas.train import schedules
from nas.train.calibration.distil import distil, with_statistics
from nas.train.classifiers.batches import batches, measured
from nas.train.classifiers.plan import make_plan
from nas.train.classifiers.recipe import ClassifierRecipe
from nas.train.classifiers.validate import Validation, evaluate
from nas.train.log import Log
from nas.train.objective import Lengths, Losses, Objective, Setup, update
from nas.train.precision import autocast
from nas.train.sampling import Progressive, sandwich
from nas.train.state import MovingAverage, TrainingState
from nas.train.trainer import Trainer, TrainerOptions


def train(
    recipe: ClassifierRecipe,
    data: Data,
    folder: str | Path,
    start: str | Path | None = None,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train a classifier's supernet on `data` and return the model folder `folder`/model.

    Args:
        recipe: How it is trained.
        data: Labelled images.
        folder: Of the run.
        start: A model to go on from, in place of the recipe's; what does not fit the data's classes begins anew. It is
            not read where a run is resumed.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: Data without classes, options that the family does not take, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """
    recipe = recipe if start is None else recipe.replaced(start=str(start))
    return Trainer(Path(folder), **options).run(lambda setup: ClassifierObjective(recipe, data, setup))


@dataclass(kw_only=True)
class ClassifierState(TrainingState):
    """The training state; `teacher` is the frozen largest network of progressive shrinking, once there is one."""

    supernet: Supernet
    ema: MovingAverage | None
    optimizer: torch.optim.Optimizer
    teacher: nn.Module | None = None

    def trained(self) -> list[nn.Module]:
        return [self.supernet]

    @property
    def averaged(self) -> Supernet:
        """The supernet whose weights are evaluated and saved: the moving average where there is one."""
        if self.ema is None:
            return self.supernet
        assert isinstance(self.ema.module, Supernet)
        return self.ema.module

    def load(self, step: int, values: dict[str, Any]) -> None:
        if "teacher" in values and self.teacher is None:
            self.freeze_teacher()
        super().load(step, values)

    def freeze_teacher(self) -> None:
        """Keep a copy of the largest network as it is now, for progressive shrinking.

        It stays in training mode, so that it normalises by the batch: the supernet's statistics are those of a mix.
        """
        teacher = copy.deepcopy(self.supernet.extract(self.supernet.space.largest()))
        self.teacher = channels_last(teacher.to(self.device)).requires_grad_(False).train()


def build_supernet(recipe: ClassifierRecipe, classes: int, device: torch.device) -> Supernet:
    """Build the recipe's freshly initialised supernet, channels_last."""
    seed_globals(recipe.seed, 0)
    try:
        family = get_family(recipe.family, **{**recipe.options, "classes": classes})
    except TypeError as error:
        raise UsageError(f"recipe: family {recipe.family} does not take these options ({error})") from error
    return channels_last(Supernet(family).to(device))


def build_state(recipe: ClassifierRecipe, classes: int, device: torch.device) -> ClassifierState:
    """Build the state of step 0."""
    return state_of(recipe, build_supernet(recipe, classes, device))


def state_of(recipe: ClassifierRecipe, supernet: Supernet) -> ClassifierState:
    """Build the state of step 0 around a supernet."""
    from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]

    try:
        optimizer = create_optimizer_v2(
            supernet,
            opt=recipe.optimizer,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            filter_bias_and_bn=True,
        )
    except (ValueError, AssertionError) as error:
        raise UsageError(
            f"recipe: timm has no optimizer {recipe.optimizer!r}; sgd, adamw and lamb are some"
        ) from error
    ema = MovingAverage(supernet, use_buffers=True) if recipe.ema_decay else None
    supernet.train()
    return ClassifierState(supernet=supernet, ema=ema, optimizer=optimizer)


def _settled(recipe: ClassifierRecipe, setup: Setup) -> tuple[ClassifierRecipe, Model | None]:
    """Return the recipe with the family of the model that a run began with, and that model where the run is new."""
    if setup.checkpoint is not None:
        known = setup.checkpoint.recipe
        begun = ("start", "family", "options") if known.get("start") else ()
        return recipe.replaced(**{name: known[name] for name in begun}), None
    if not recipe.start:
        return recipe, None
    model = load_model(recipe.start)
    if model.family.task != "classification":
        raise UsageError(
            f"start is {recipe.start}, which is a model for {model.family.task}; name a classifier"
        )
    options = {name: value for name, value in model.family.options.items() if name != "classes"}
    return recipe.replaced(start=model.name, family=model.family.name, options=options), model


def _prepared(data: Data, setup: Setup, begun: Model | None) -> Preprocessing:
    """Return how images are prepared: normalised as the weights of a start are used to, else as the data are."""
    if begun is not None:
        return replace(measured(data), mean=begun.mean, std=begun.std)
    if setup.checkpoint is not None and setup.checkpoint.recipe.get("start"):
        about = setup.checkpoint.about
        return replace(measured(data), mean=tuple(about["mean"]), std=tuple(about["std"]))
    return measured(data)


class ClassifierObjective(Objective):
    """A supernet of classifiers on labelled images."""

    columns: ClassVar[tuple[str, ...]] = (
        "step", "epoch", "loss", "lr", "largest_top1", "smallest_top1", "random_top1", "images_per_s",
    )  # fmt: skip
    recipe: ClassifierRecipe  # pyright: ignore[reportIncompatibleVariableOverride]
    state: ClassifierState  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, recipe: ClassifierRecipe, data: Data, setup: Setup) -> None:
        if not data.classes:
            raise UsageError(
                f"{data.name} has no classes, but a classifier learns from labels; give a folder with a folder a class"
            )
        recipe, self._start = _settled(recipe, setup)
        self.recipe, self.setup, self._data = recipe, setup, data
        self._plan = make_plan(recipe, data.table("train").labels, setup.processes)
        self._how = _prepared(data, setup, self._start)
        self._autocast = autocast(recipe.precision, setup.device)

    @property
    def classes(self) -> list[str]:
        """The names of what is told apart."""
        return list(self._data.classes)

    @property
    def lengths(self) -> Lengths:
        recipe, epoch = self.recipe, self._plan.steps_per_epoch
        evaluate_every = recipe.eval_epochs * epoch
        saves_every = recipe.checkpoint_steps or epoch
        return Lengths(
            recipe.epochs * epoch, self._plan.batch_size, saves_every, evaluate_every, evaluate_every
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        return {
            "classes": self.classes, "train": self._data.count("train"), "mean": self._how.mean,
            "std": self._how.std,
        }  # fmt: skip

    @property
    def about(self) -> Mapping[str, Any]:
        return {
            "data": self._data.name, "classes": self.classes, "mean": list(self._how.mean),
            "std": list(self._how.std), "size": list(self._how.size),
        }  # fmt: skip

    def build(self) -> ClassifierState:
        state = build_state(self.recipe, len(self.classes), self.setup.device)
        if self.recipe.method == "progressive":
            self._progressive = Progressive(
                state.supernet.space, self.recipe.stages, self._largest_steps, self.lengths.steps
            )
        return state

    def begin(self) -> None:
        if self._start is None:
            return
        state, network = self.state, self.state.supernet.network
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        given = self._start.supernet.network.state_dict()
        network.load_state_dict({n: t for n, t in given.items() if t.shape == shapes[n]}, strict=False)
        known = self._start.classes
        others = [pair for pair in zip(known, self.classes, strict=False) if pair[0] != pair[1]]
        if others and len(known) == len(self.classes):
            self.remarks = [
                f"the last layer of {self._start.name} is kept, though its classes are others: {others[0][0]!r} where "
                f"the data have {others[0][1]!r}"
            ]
        if state.ema is not None:
            state.ema = MovingAverage(state.supernet, use_buffers=True)

    # --- a step -------------------------------------------------------------------------------------------------------

    @property
    def _largest_steps(self) -> int:
        """Steps at the start that train the largest network alone."""
        return round(self.recipe.largest_epochs * self._plan.steps_per_epoch)

    @cached_property
    def _batches(self) -> Any:
        """The batches of the steps that are left."""
        start, processes = self.state.step, self.setup.processes
        return batches(self.recipe, self._data, self._plan, processes.device, start, self._how)

    def step(self) -> Losses:
        recipe, state = self.recipe, self.state
        schedules.set_rate(state.optimizer, self._rate())
        images, targets = next(self._batches)
        state.optimizer.zero_grad(set_to_none=True)
        loss = self.backward(images, targets)
        update(state.optimizer, state.supernet.parameters(), self.setup.processes, recipe.grad_clip)
        if state.ema is not None:
            kept = schedules.ema_by_power(recipe.ema_decay, state.step + 1)
            state.ema.update(state.supernet, kept)
        return {"loss": loss}

    def _rate(self) -> float:
        recipe = self.recipe
        return schedules.warmup_cosine(
            self.state.step, peak=recipe.lr, steps=self.lengths.steps, start=recipe.lr / 100,
            warmup=round(recipe.warmup_epochs * self._plan.steps_per_epoch), least=recipe.min_lr,
        )  # fmt: skip

    def backward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of one step on images (n, c, h, w) and targets; returns the loss that is told."""
        if self.recipe.method == "sandwich":
            return self._sandwich(images, targets)
        if self.state.teacher is None and self.state.step >= self._largest_steps:
            self.state.freeze_teacher()
        return self._shrink(images, targets)

    def _sandwich(self, images: Tensor, targets: Tensor) -> Tensor:
        """Let the largest subnet learn the labels, and all others what the largest says."""
        space, step = self.state.supernet.space, self.state.step
        logits = self._run(images, space.largest())
        loss = self._true_loss(logits, targets)
        loss.backward()
        if step >= self._largest_steps:
            soft = logits.detach().softmax(1)
            for subnet in sandwich(space, subnet_rng(self.recipe.seed, step), self.recipe.random_subnets)[1:]:
                F.cross_entropy(self._run(images, subnet), soft).backward()
        return loss.detach()

    def _shrink(self, images: Tensor, targets: Tensor) -> Tensor:
        """Let the largest network learn alone; once it is the frozen teacher, the mean loss of the step's subnets."""
        recipe, state = self.recipe, self.state
        if state.teacher is None:
            loss = self._true_loss(self._run(images, state.supernet.space.largest()), targets)
            loss.backward()
            return loss.detach()
        with torch.no_grad(), self._autocast():
            soft = state.teacher(images).float().softmax(1)
        rng, count = subnet_rng(recipe.seed, state.step), max(1, recipe.random_subnets)
        total = torch.zeros((), device=images.device)
        for _ in range(count):
            logits = self._run(images, self._progressive.sample(rng, state.step))
            loss = self._true_loss(logits, targets) + recipe.distil_weight * F.cross_entropy(logits, soft)
            (loss / count).backward()
            total += loss.detach() / count
        return total

    def _run(self, images: Tensor, subnet: Subnet) -> Tensor:
        """Return the logits of `subnet`, float32."""
        supernet = self.state.supernet
        with self._autocast():
            logits = supernet(supernet.family.prepare(images, subnet), subnet)
        return logits.float()

    def _true_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy with smoothed labels; mixed targets arrive smoothed."""
        smoothing = self.recipe.label_smoothing if targets.ndim == 1 else 0.0
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    # --- what is shown and left ---------------------------------------------------------------------------------------

    @cached_property
    def _validation(self) -> Validation:
        return self._judges("val")

    def _judges(self, split: Split) -> Validation:
        return Validation.of(self._data, self._how, self.recipe, self.setup.device, split)

    def _judged(self, space: SearchSpace) -> dict[str, Subnet]:
        """Return the subnets that are judged meanwhile: both ends, and a random one that is always the same."""
        random = space.sample(np.random.default_rng(self.recipe.seed))
        return {"largest": space.largest(), "smallest": space.smallest(), "random": random}

    def evaluate(self, samples: Path, log: Log) -> Mapping[str, Any]:
        tops = evaluate(
            self.state.averaged, self._validation, judged := self._judged(self.state.supernet.space)
        )
        words = " ".join(f"{name} {tops[f'{name}_top1']:.1f}%" for name in judged)
        epoch = round(self.state.step / self._plan.steps_per_epoch, 3)
        log.note = words
        log.say(f"epoch {epoch}: top-1 {words}")
        return {"epoch": epoch, "lr": f"{self.state.optimizer.param_groups[0]['lr']:.6g}", **tops}

    def finish(self, folder: Path, log: Log) -> None:
        """Evaluate on the test images, distil calibration images while the real ones are at hand, write the model."""
        recipe, supernet = self.recipe, self.state.averaged
        if recipe.half:
            round_to_half(supernet.network)  # what is judged is what will be read
        judged = self._judged(supernet.space)
        info: dict[str, Any] = {
            "data": self._data.name,
            "epochs": recipe.epochs,
            "method": recipe.method,
            "val": evaluate(supernet, self._validation, judged),
            "test": evaluate(supernet, self._judges("test"), judged),
            "preprocessing": self._shown,
            **self._own_info,
        }
        tops = info["test"]
        log.say(f"test top-1: largest {tops['largest_top1']:.2f}%, smallest {tops['smallest_top1']:.2f}%")
        calibration = self._calibration(supernet, log)
        save_model(
            folder, supernet.cpu(), name=recipe.name, classes=self.classes, mean=self._how.mean,
            std=self._how.std, calibration=calibration, info=info, half=recipe.half,
        )  # fmt: skip

    @property
    def _shown(self) -> Mapping[str, Any] | None:
        """What a model says of the pictures that it was judged on; None for small ones, which are taken whole."""
        if self._data.in_memory:
            return None
        return {"interpolation": self._how.interpolation, "crop": self._how.crop}

    @property
    def _own_info(self) -> Mapping[str, Any]:
        return {}

    def _calibration(self, supernet: Supernet, log: Log) -> Calibration | None:
        """Distil images from the supernet, where the recipe says so."""
        recipe, real, normalizer = self.recipe, self._validation.calibration, self._validation.normalizer
        if not recipe.distil_steps:
            return None
        images = distil(
            supernet, real, normalizer, classes=len(self.classes), steps=recipe.distil_steps, seed=recipe.seed,
            progress=log.stage("distilling calibration images"),
        )  # fmt: skip
        return with_statistics(supernet, images, real, normalizer)


__all__ = ["ClassifierObjective", "train"]
