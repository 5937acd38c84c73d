"""Everything that changes while training: weights, their moving average, optimizer, schedule, step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from nas._errors import NasError, UsageError
from nas.elastic import Supernet, channels_last
from nas.families import get_family
from nas.train._random import seed_globals
from nas.train.recipe import Recipe
from nas.train.saved import are_finite


@dataclass
class State:
    """The training state; `step` counts finished optimizer steps."""

    supernet: Supernet
    ema: Any
    optimizer: torch.optim.Optimizer
    scheduler: Any
    step: int = 0
    teacher: nn.Module | None = None

    @property
    def averaged(self) -> Supernet:
        """The supernet whose weights are evaluated and saved: the moving average where there is one."""
        return self.supernet if self.ema is None else self.ema.module

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {
            "supernet": self.supernet.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teacher": None if self.teacher is None else self.teacher.state_dict(),
        }

    def load(self, step: int, values: dict[str, Any]) -> None:
        """Take over what `to_dict` gave at `step`."""
        try:
            self.supernet.load_state_dict(values["supernet"])
            if self.ema is not None:
                self.ema.module.load_state_dict(values["ema"])
            self.optimizer.load_state_dict(values["optimizer"])
            if values["teacher"] is not None:
                self.freeze_teacher()
                assert self.teacher is not None
                self.teacher.load_state_dict(values["teacher"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise NasError(
                f"the checkpoint does not fit the recipe's network ({reason}); train anew"
            ) from error
        self.step = step
        self.scheduler.step_update(step)

    def is_finite(self) -> bool:
        """Whether all that a checkpoint keeps is finite: weights, statistics, averages and the optimizer's momenta."""
        networks = (self.supernet, self.averaged, *([] if self.teacher is None else [self.teacher]))
        kept = (tensor for network in networks for tensor in network.state_dict().values())
        # Some optimizers count steps in a tensor on the processor, which is always finite.
        momenta = (
            value
            for values in self.optimizer.state.values()
            for value in values.values()
            if isinstance(value, Tensor) and value.dim()
        )
        return are_finite(chain(kept, momenta))

    def freeze_teacher(self) -> None:
        """Keep a copy of the largest network as it is now, for progressive shrinking.

        It stays in training mode, so that it normalises by the batch: the supernet's statistics are those of a mix.
        """
        teacher = copy.deepcopy(self.supernet.extract(self.supernet.space.largest()))
        device = next(self.supernet.parameters()).device
        teacher = channels_last(teacher.to(device))
        self.teacher = teacher.requires_grad_(False).train()


def build_supernet(recipe: Recipe, classes: int, device: torch.device) -> Supernet:
    """Build the recipe's freshly initialised supernet, channels_last."""
    seed_globals(recipe.seed, 0)
    try:
        family = get_family(recipe.family, **{**recipe.options, "classes": classes})
    except TypeError as error:
        raise UsageError(f"recipe: family {recipe.family} does not take these options ({error})") from error
    return channels_last(Supernet(family).to(device))


def build_state(recipe: Recipe, classes: int, steps_per_epoch: int, device: torch.device) -> State:
    """Build the state of step 0."""
    from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
    from timm.scheduler.cosine_lr import CosineLRScheduler
    from timm.utils.model_ema import ModelEmaV3

    supernet = build_supernet(recipe, classes, device)
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
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * steps_per_epoch,
        lr_min=recipe.min_lr,
        warmup_t=round(recipe.warmup_epochs * steps_per_epoch),
        warmup_lr_init=recipe.lr / 100,
        t_in_epochs=False,
    )
    ema = ModelEmaV3(supernet, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
    supernet.train()
    scheduler.step_update(0)
    return State(supernet, ema, optimizer, scheduler)
