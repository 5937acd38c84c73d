"""Training a supernet beside the network that it was made of: subnets learn what that says, and need no labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.data.dataset import Data, Split
from nas.elastic import Supernet, channels_last
from nas.errors import UsageError
from nas.families import get_family
from nas.models import Calibration, Preprocessing, load_model
from nas.seeds import subnet_rng
from nas.space import Choice, SearchSpace, Subnet
from nas.train.calibration.dead_leaves import dead_leaves
from nas.train.calibration.distil import with_statistics
from nas.train.classifiers.objective import ClassifierObjective, ClassifierState, state_of
from nas.train.classifiers.plan import make_plan
from nas.train.classifiers.recipe import ClassifierRecipe
from nas.train.classifiers.validate import Validation
from nas.train.log import Log
from nas.train.objective import Setup
from nas.train.precision import autocast
from nas.train.sampling import draw_whole, sandwich
from nas.train.trainer import Trainer, TrainerOptions

_IMAGES, _LARGE_IMAGES = 128, 64  # of the model's calibration, which travels with it


def train_distilled(
    recipe: ClassifierRecipe,
    data: Data,
    folder: str | Path,
    *,
    start: str | Path | None = None,
    **options: Unpack[TrainerOptions],
) -> Path:
    """Train the subnets of a model beside its full network and return the model folder `folder`/model.

    Args:
        recipe: How; its family and method are the model's and the sandwich rule.
        data: Images; labels only judge, and only where their classes are the model's.
        folder: Of the run.
        start: The model, such as one that `nas adopt` wrote; its full network is the teacher. A run that goes on has it
            in its checkpoint.
        **options: Of the `Trainer`: resume, device, threads, tensorboard, progress.

    Raises:
        UsageError: No model to begin with, and as `Trainer.run`.
        NasError: As `Trainer.run`.
    """
    return Trainer(Path(folder), **options).run(lambda setup: DistilledObjective(recipe, data, setup, start))


class DistilledObjective(ClassifierObjective):
    """A supernet whose subnets, the largest too, learn what the network that it was made of says.

    Source: knowledge distillation (Hinton et al. 2015) by the sandwich rule (Yu and Huang 2019).
    """

    columns: ClassVar[tuple[str, ...]] = (
        "step", "epoch", "loss", "lr", "largest_top1", "half_top1", "smallest_top1", "random_top1", "images_per_s",
    )  # fmt: skip

    def __init__(self, recipe: ClassifierRecipe, data: Data, setup: Setup, start: str | Path | None) -> None:
        checkpoint = setup.checkpoint
        if checkpoint is None and start is None:
            raise UsageError("a training beside a teacher begins with a model; name it with --start")
        self._start = load_model(start) if checkpoint is None and start is not None else None
        self._told = self._describe() if checkpoint is None else dict(checkpoint.about)
        self.recipe, self.setup, self._data = recipe, setup, data
        self._plan = make_plan(recipe, data.table("train").labels, setup.processes)
        self._how = Preprocessing.from_dict(self._told["pictures"])
        self._autocast = autocast(recipe.precision, setup.device)

    def _describe(self) -> dict[str, Any]:
        model = self._start
        assert model is not None
        return {
            "classes": model.classes, "pictures": model.preprocessing().to_dict(),
            "shown": model.info.get("preprocessing"), "family": model.family.name,
            "options": dict(model.family.options), "start": model.name, "weights": model.config.get("files", {}),
        }  # fmt: skip

    @property
    def classes(self) -> list[str]:
        return list(self._told["classes"])

    @property
    def is_labelled(self) -> bool:
        """Whether the data's labels are of the model's classes."""
        return len(self._data.classes) == len(self.classes)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"train": self._data.count("train"), "start": self._told["weights"]}

    @property
    def about(self) -> Mapping[str, Any]:
        return {**self._told, "data": self._data.name}

    def build(self) -> ClassifierState:
        if self._start is not None:
            supernet = copy.deepcopy(self._start.supernet)
        else:
            supernet = Supernet(get_family(self._told["family"], **self._told["options"]))
        supernet = channels_last(supernet.to(self.setup.device))
        teacher = copy.deepcopy(supernet.extract(supernet.space.largest()))
        state = state_of(self.recipe, supernet)
        state.teacher = channels_last(teacher.to(self.setup.device)).requires_grad_(False).eval()
        return state

    def backward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of one step on images (n, c, h, w); `targets` do not count.

        The loss is the divergence from what the teacher says of the same images at its own resolution.
        """
        heat = self.recipe.temperature
        soft = (self._teacher_says(images) / heat).log_softmax(1)
        losses = []
        for subnet in self._subnets():
            answers = (self._run(images, subnet) / heat).log_softmax(1)
            loss = heat**2 * F.kl_div(answers, soft, reduction="batchmean", log_target=True)
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def _subnets(self) -> list[Subnet]:
        """Return the subnets of a step, of one resolution: the smallest, random ones, now and then the largest."""
        recipe, family = self.recipe, self.state.supernet.family
        space, rng = family.space, subnet_rng(recipe.seed, self.state.step)
        draw = partial(draw_whole, family, drop_rate=recipe.drop_rate)
        largest, *others = sandwich(
            space, rng, recipe.random_subnets, smallest=draw(rng, smallest=True), draw=draw
        )
        drawn = [largest, *others] if self.state.step % recipe.largest_every == 0 else others
        shared: dict[str, Choice] = {}
        for name in family.input_dimensions:
            # Larger pictures than the teacher takes would tell no more of what it says.
            choices = space[name].choices[: space[name].index(family.native[name]) + 1]
            shared[name] = choices[int(rng.integers(len(choices)))]
        return [space.subnet({**each, **shared}) for each in drawn]

    def _judged(self, space: SearchSpace) -> dict[str, Subnet]:
        """Return the subnets that are judged meanwhile, all at the teacher's own resolution."""
        family = self.state.supernet.family
        own = {name: family.native[name] for name in family.input_dimensions}
        named = {**super()._judged(space), "half": family.uniform(0.5)}
        return {name: space.subnet({**subnet, **own}) for name, subnet in named.items()}

    @torch.no_grad()
    def _teacher_says(self, images: Tensor) -> Tensor:
        teacher, supernet = self.state.teacher, self.state.supernet
        assert teacher is not None
        with self._autocast():
            return teacher(supernet.family.prepare(images, supernet.family.native)).float()

    def _judges(self, split: Split) -> Validation:
        """Return what evaluations need; where there are no labels of the classes, the teacher's answers are right."""
        found = super()._judges(split)
        if self.is_labelled:
            return found
        answers = [self._teacher_says(found.normalizer(part)).argmax(1) for part in found.images.split(64)]
        return replace(found, labels=torch.cat(answers))

    def _calibration(self, supernet: Supernet, log: Log) -> Calibration:
        if self.recipe.distil_steps:
            found = super()._calibration(supernet, log)
            assert found is not None
            return found
        real, normalizer = self._validation.calibration, self._validation.normalizer
        height, width = self._how.size
        count = _IMAGES if self._data.in_memory else _LARGE_IMAGES
        images = torch.from_numpy(dead_leaves(count, (height, width)))
        return with_statistics(supernet, images, real, normalizer)

    @property
    def _shown(self) -> Mapping[str, Any] | None:
        return self._told["shown"]

    @property
    def _own_info(self) -> Mapping[str, Any]:
        return {"start": self._told["start"], "judged by": "labels" if self.is_labelled else "the teacher"}
