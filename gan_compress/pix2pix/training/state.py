"""Everything that changes while an image-to-image generator is trained, and the frozen teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gan_compress.pix2pix.discriminator import PatchDiscriminator
from gan_compress.pix2pix.family import GanCompression, gan_compression
from gan_compress.pix2pix.resnet_generator import ResNetGenerator
from gan_compress.pix2pix.training.recipe import TranslationRecipe
from gan_compress.pix2pix.training.student import Student, without_adaptors
from nas.elastic import Supernet
from nas.seeds import seed_globals
from nas.train import schedules
from nas.train.state import TrainingState


@dataclass(kw_only=True)
class TranslationState(TrainingState):
    """The training state.

    `supernet` is the teacher's in stage "teacher"; in stage "compress" it has adaptors, and `teacher` is frozen.
    """

    supernet: Supernet
    optimizer: torch.optim.Adam
    discriminator: PatchDiscriminator
    discriminator_optimizer: torch.optim.Adam
    teacher: ResNetGenerator | None = None

    def trained(self) -> list[nn.Module]:
        return [self.supernet, self.discriminator]

    def generator(self) -> Supernet:
        """Return the generator's supernet as it is now, in evaluation mode: a copy where there are adaptors."""
        if isinstance(self.supernet.family, Student):
            return without_adaptors(self.supernet)
        return self.supernet.eval()


def build_state(
    recipe: TranslationRecipe, teacher: dict[str, Any] | None, device: torch.device
) -> TranslationState:
    """Build the state of step 0 from the recipe's seed; `teacher` are the options of the teacher's family."""
    family, frozen = recipe.family(), None
    with torch.random.fork_rng(devices=[]):
        seed_globals(recipe.seed, 0)
        if teacher is None:
            supernet = Supernet(family)
        else:
            known = gan_compression(**teacher)
            frozen = plain_network(known).to(device).requires_grad_(False).eval()
            supernet = Supernet(Student(family, 4 * known.full["down2"]))
        discriminator = PatchDiscriminator(
            family.inputs + family.outputs,
            channels=recipe.discriminator_channels,
            layers=recipe.discriminator_layers,
        )
    supernet, discriminator = supernet.to(device).train(), discriminator.to(device).train()
    return TranslationState(
        supernet=supernet,
        optimizer=_adam(supernet, recipe),
        discriminator=discriminator,
        discriminator_optimizer=_adam(discriminator, recipe),
        teacher=frozen,
    )


def plain_network(family: GanCompression) -> ResNetGenerator:
    """Return a fresh static network of the family's largest subnet."""
    network = family.build(family.space.largest())
    assert isinstance(network, ResNetGenerator)
    return network


def _adam(module: nn.Module, recipe: TranslationRecipe) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), betas=(recipe.beta1, recipe.beta2), fused=True)


def set_rates(state: TranslationState, recipe: TranslationRecipe) -> None:
    """Set the learning rates of the step to come."""
    rates = (state.optimizer, recipe.lr), (state.discriminator_optimizer, recipe.discriminator_lr)
    schedules.cool_down(rates, state.step, steps=recipe.steps, cooldown=recipe.cooldown)
