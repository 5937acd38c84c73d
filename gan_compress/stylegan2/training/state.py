"""Everything that changes while a generator is trained: both networks, their optimizers, the moving average, step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gan_compress.stylegan2.discriminator import Discriminator
from gan_compress.stylegan2.family import StyleGAN2, anycost, full_channels
from gan_compress.stylegan2.training.recipe import GeneratorRecipe
from nas.elastic import Supernet, channels_last
from nas.seeds import seed_globals
from nas.train import schedules
from nas.train.state import MovingAverage, SupernetState, frozen


@dataclass(kw_only=True)
class GeneratorState(SupernetState):
    """The training state.

    `teacher` is the frozen full generator and `feature_discriminator` the frozen discriminator whose features are
    compared, in the stages that have them.
    """

    discriminator: Discriminator | None = None
    discriminator_optimizer: torch.optim.Adam | None = None
    teacher: nn.Module | None = None
    feature_discriminator: Discriminator | None = None

    def trained(self) -> list[nn.Module]:
        return [self.supernet] if self.discriminator is None else [self.supernet, self.discriminator]

    @property
    def family(self) -> StyleGAN2:
        """The generator's family."""
        family = self.supernet.family
        assert isinstance(family, StyleGAN2)
        return family


def make_family(recipe: GeneratorRecipe, classes: int) -> StyleGAN2:
    """Return the space of the recipe's generator."""
    return anycost(
        recipe.resolution, recipe.multiplier, recipe.style, recipe.cap,
        classes if recipe.conditional else 0, recipe.smallest, recipe.mapping,
    )  # fmt: skip


def make_discriminator(recipe: GeneratorRecipe, family: StyleGAN2) -> Discriminator:
    """Return a fresh discriminator that takes every output resolution, the class and the subnet."""
    multiplier, cap = (
        recipe.discriminator_multiplier or recipe.multiplier,
        recipe.discriminator_cap or recipe.cap,
    )
    channels = dict(
        zip(
            (family.size_of(layer) for layer in range(len(family.full))),
            full_channels(recipe.resolution, multiplier, cap),
            strict=True,
        )
    )
    discriminator = Discriminator(
        recipe.resolution, channels, classes=family.classes, conditions=len(family.full)
    )
    assert discriminator.describe is not None
    # The stages without subnets say nothing here; the elastic stage then starts from the very same scores.
    nn.init.zeros_(discriminator.describe.weight)
    return discriminator


def build_state(
    recipe: GeneratorRecipe, family: StyleGAN2, device: torch.device, *, compares_features: bool
) -> GeneratorState:
    """Build the state of step 0 from the recipe's seed; `watched` if a frozen discriminator compares features."""
    with torch.random.fork_rng(devices=[]):
        seed_globals(recipe.seed, 0)
        supernet = Supernet(family).to(device)
        discriminator = make_discriminator(recipe, family).to(device)
    for network in (supernet, discriminator):
        channels_last(network)  # 5-10% faster steps on a CPU, measured on the digits
    state = GeneratorState(
        supernet=supernet,
        ema=MovingAverage(supernet),
        optimizer=_adam(supernet, recipe),
    )
    if recipe.has_discriminator:
        state.discriminator, state.discriminator_optimizer = discriminator, _adam(discriminator, recipe)
    if recipe.has_teacher:
        state.teacher = frozen(supernet.network)
    if compares_features:
        state.feature_discriminator = frozen(discriminator)
    return state


def _adam(module: nn.Module, recipe: GeneratorRecipe) -> torch.optim.Adam:
    """Return Adam over the mapping network with the class condition, and over the rest, each with its factor."""
    mapping = ("style", "condition")
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        factor = recipe.mapping_lr if set(mapping) & set(name.split(".")[:2]) else 1.0
        groups.setdefault(factor, []).append(parameter)
    return torch.optim.Adam(
        [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
        betas=(recipe.beta1, recipe.beta2),
        fused=True,
    )


def kept_share(recipe: GeneratorRecipe, step: int) -> float:
    """Return what share of the averaged weights is kept after `step` finished steps."""
    return schedules.ema_by_images(
        step * recipe.batch_size, recipe.batch_size, half_life=recipe.ema_half_life * 1000,
        rampup=recipe.ema_rampup,
    )  # fmt: skip


def set_rates(state: GeneratorState, recipe: GeneratorRecipe) -> None:
    """Set the learning rates of the step to come."""
    rates = (state.optimizer, recipe.lr), (state.discriminator_optimizer, recipe.discriminator_lr)
    schedules.cool_down(rates, state.step, steps=recipe.steps, cooldown=recipe.cooldown)
